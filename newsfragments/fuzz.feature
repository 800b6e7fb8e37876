``openmb fuzz`` spoils inputs of every reader and packets at the edge of protected memory, in a repeatable way.
