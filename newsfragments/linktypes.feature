Captures of PPP, PPP on a serial line, FDDI, 802.11 with and without radiotap and NFLOG are read, and the modified pcap
format (magic a1b2cd34).
