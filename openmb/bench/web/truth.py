"""
What the logs must say of traffic that was made up: the maker's own word, taken down while it makes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

#: Values of the columns below, in their order, as the logs spell them.
ConnRow = tuple[str, ...]
HTTPRow = tuple[str, ...]
DNSRow = tuple[str, ...]

_ENDS = ("ts", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p")
#: The columns that are compared, by log.
CONN = (
    *_ENDS, "proto", "service", "orig_bytes", "resp_bytes", "conn_state", "missed_bytes", "orig_pkts", "resp_pkts",
)  # fmt: skip
HTTP = (
    *_ENDS, "trans_depth", "method", "host", "uri", "version", "user_agent", "request_body_len", "response_body_len",
    "status_code", "status_msg", "info_code", "info_msg",
)  # fmt: skip
DNS = (
    *_ENDS, "proto", "trans_id", "rtt", "query", "qtype_name", "rcode_name", "answers", "TTLs", "rejected",
)  # fmt: skip


@dataclass(slots=True)
class Truth:
    """Every row that was caused, in no order; and how many packets did."""

    packets: int = 0
    conn: list[ConnRow] = field(default_factory=list)
    http: list[HTTPRow] = field(default_factory=list)
    dns: list[DNSRow] = field(default_factory=list)


def seconds(microseconds: int) -> str:
    """A time or an interval as the logs write it."""
    return f"{microseconds // 1_000_000}.{microseconds % 1_000_000:06d}"
