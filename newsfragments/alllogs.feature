The verdicts of `openmb demo`, `openmb soak`, `openmb bench` and `openmb survive` cover every log that any of the instances wrote, in all columns; the demonstration shows a
row for each. The traffic of `openmb survive` has DNS too; in the demonstration's, DNS queries wait for late answers while their flows move.
