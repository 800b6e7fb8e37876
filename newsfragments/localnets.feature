Bro: `--local-nets` and `--no-private-local` say which addresses are local in conn.log.
