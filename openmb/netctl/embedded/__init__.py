"""The software switch: a network of UNIX stream sockets that carry pcap records."""
