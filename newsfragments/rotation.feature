Bro: `--rotate SECONDS` ends logs and begins new ones, named as Zeek names them.
