``openmb doctor`` looks at certificates, keyrings, sockets, ports, journal, directories and the machine, and says what is wrong and what to do about it.
