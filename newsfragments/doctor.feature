``openmb doctor`` looks at certificates, keyrings, sockets, ports, journal and directories, and says what is wrong and what to do about it.
