Survival under test: `openmb survive` kills, stalls or cuts off source, destination and controller at each step of a move, in real processes under traffic, and judges the logs.
