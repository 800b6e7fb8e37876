The soak: `openmb soak` has one server's flows move back and forth for hours under the demonstration's traffic, watches the memory of every process, and holds the logs against a reference.
