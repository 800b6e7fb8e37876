"""DNS: messages over UDP and TCP in, rows of dns.log out."""
