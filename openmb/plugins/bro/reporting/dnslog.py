"""
The columns of dns.log.
"""

from __future__ import annotations

from collections.abc import Sequence

from openmb.plugins.bro.analyzers.dns.names import NETBIOS_PORT, className, codeName, opcodeName, queryTypeName
from openmb.plugins.bro.analyzers.dns.rows import DNSRow
from openmb.plugins.bro.reporting.connections import BEGINNING
from openmb.plugins.bro.reporting.logs import Column, Value

DNS_COLUMNS = (
    *BEGINNING,
    Column("proto", "enum"),
    Column("trans_id", "count"),
    Column("rtt", "interval"),
    Column("query", "string"),
    Column("qclass", "count"),
    Column("qclass_name", "string"),
    Column("qtype", "count"),
    Column("qtype_name", "string"),
    Column("rcode", "count"),
    Column("rcode_name", "string"),
    Column("AA", "bool"),
    Column("TC", "bool"),
    Column("RD", "bool"),
    Column("RA", "bool"),
    Column("Z", "count"),
    Column("answers", "vector[string]"),
    Column("TTLs", "vector[interval]"),
    Column("rejected", "bool"),
    Column("opcode", "count"),
    Column("opcode_name", "string"),
)

_MILLION = 1_000_000


def dnsValues(row: DNSRow, uid: str, ends: Sequence[Value]) -> list[Value]:
    """
    The values of L{DNS_COLUMNS}.

    @param uid: the connection's.
    @param ends: the connection's originator, its port, the responder, its port.
    """
    first, second = (port if isinstance(port, int) else 0 for port in (ends[1], ends[3]))
    group, kind, code = row.queryClass, row.queryType, row.code
    return [
        row.stamp // 1000,
        uid,
        *ends,
        "tcp" if row.tcp else "udp",
        row.identifier,
        row.roundTrip,
        row.query,
        group,
        None if group is None else className(group),
        kind,
        None if kind is None else queryTypeName(kind, second),
        code,
        None if code is None else codeName(code),
        row.authoritative,
        row.truncated,
        row.recursionDesired,
        row.recursionAvailable,
        row.flags,
        row.answers,
        None if row.lifetimes is None else tuple(lifetime * _MILLION for lifetime in row.lifetimes),
        row.rejected,
        row.opcode,
        opcodeName(row.opcode, NETBIOS_PORT in (first, second)),
    ]
