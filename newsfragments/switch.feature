The embedded switch (`twistd openmb-switch`) steers packets to middleboxes over UNIX sockets that carry pcap streams: lossless, in order, without privileges.
