"""
The ports for which PRADS has a name when no signature matched: its own list, which no file changes.
"""

from __future__ import annotations

TCP_PORTS: dict[int, bytes] = {
    20: b"@ftp-data",
    21: b"@ftp",
    22: b"@ssh",
    25: b"@smtp",
    80: b"@www",
    110: b"@pop3",
    111: b"@sunrpc",
    113: b"@auth",
    115: b"@sftp",
    119: b"@nntp",
    143: b"@imap2",
    161: b"@snmp",
    162: b"@snmp-trap",
    389: b"@ldap",
    443: b"@https",
    445: b"@microsoft-ds",
    554: b"@rtsp",
    631: b"@ipp",
    990: b"@ftps",
    992: b"@telnets",
    993: b"@imaps",
    995: b"@pop3s",
    2049: b"@nfs",
    3306: b"@mysql",
    6667: b"@irc",
}
UDP_PORTS: dict[int, bytes] = {
    53: b"@domain",
    111: b"@sunrpc",
    123: b"@ntp",
    161: b"@snmp",
    162: b"@snmp-trap",
    514: b"@syslog",
    554: b"@rtsp",
    1194: b"@openvpn",
    2049: b"@nfs",
}
