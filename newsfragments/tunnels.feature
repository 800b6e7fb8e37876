What is inside IP-in-IP and GRE tunnels is followed: routes, moves and logs go by the flows inside; `--tunnelled-connections` gives them rows in conn.log.
