Bro: logs can be compressed (`--gzip`) and rows may wait (`--flush`); text in JSON logs is escaped as Zeek does.
