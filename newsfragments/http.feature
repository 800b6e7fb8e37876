Bro: `http.log` has all columns of Zeek's (those of files are unset); bodies of gzip and deflate count as they are unpacked; HTTP in CONNECT tunnels is read.
