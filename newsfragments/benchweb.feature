``openmb bench web`` makes a capture of 90,000 small connections, mostly HTTP, times the Bro engine over it, and checks every row of conn.log, http.log and dns.log that the timed runs wrote.
