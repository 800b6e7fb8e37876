"""
Targets that people or files provide: header field lists, routes, requests, options, keyrings, journals.
"""

from __future__ import annotations

import contextlib
import io
import shlex
from pathlib import Path

from twisted.python import usage

from openmb.controller.journal import SQLiteJournal
from openmb.errors import ConfigurationError, InvalidHeaderFields, OperationError, ProtocolError
from openmb.operations.journal import Entry, Step
from openmb.plugins.prads.signatures.tcp import FILES, parseSystems
from openmb.plugins.registry import findPlugin
from openmb.rpc.codec import LineReader, Request, encode, parseAnswer, parseRequest
from openmb.rpc.routes import routeFromPlain
from openmb.state.headers import HeaderFieldList
from openmb.state.keyring import Keyring
from openmb.testing.fuzzing.target import Target
from openmb.wire.messages import Peer

FIELDS = (
    b"tcp,nw_src=10.0.0.0/8,tp_dst=80",
    b"udp6,ipv6_src=2001:db8::/32,tp_src=53",
    b"*",
    b"ip,nw_proto=17,nw_dst=10.1.2.3,dl_vlan=7",
    b"dl_type=0x86dd,ipv6_dst=fe80::1",
    b"icmp,nw_src=1.2.3.4/255.255.255.0",
)


def headerFieldLists() -> Target:
    """Text to list; a list that is understood reads back from its own text as the same."""

    def run(data: bytes) -> None:
        parsed = HeaderFieldList.parse(data.decode("utf-8", "replace"))
        if HeaderFieldList.parse(str(parsed)) != parsed:
            raise AssertionError(f"{parsed} reads back as something else")

    words = [b"nw_src=", b"tp_dst=", b",", b"/", b"::", b"0x", b"=", b" ", b"ipv6", b"\xc2\xb2", b"-1", b"4294967296"]
    return Target("header field lists", run, (InvalidHeaderFields,), FIELDS, words)


#: Lines for the tables of PRADS, as they are in each of its files.
SYSTEMS = b"""*:255:1:*:M*,W*,N,S,T:.:Some:system
S4:64:1:44:M1460:A:Other:system
%8192:128:0:40:.:.:-Third:system
T10:64:1:*:M%4,?9,E,T0:PZIUXATFD!Q0:@Fourth:system
"""


def systems() -> Target:
    """Files of fingerprints."""

    def run(data: bytes) -> None:
        found, named = parseSystems([(name, data) for name in FILES.values()])
        if len(found.signatures) != sum(map(len, named)):
            raise AssertionError("there are not as many lines as systems")

    words = [b":", b"*", b"%0", b"S", b"99999999999", b"?300", b"\n", b"#", b"K", b"\xff", b"T0", b" "]
    return Target("systems of PRADS", run, (ConfigurationError,), [*SYSTEMS.splitlines(), SYSTEMS], words)


def localProtocol() -> Target:
    """Lines of the local socket, and the routes in them."""

    def run(data: bytes) -> None:
        for line in LineReader().feed(data):
            for parse in (parseRequest, parseAnswer):
                try:
                    parsed = parse(line)
                except ProtocolError:
                    continue
                if isinstance(parsed, Request):
                    with contextlib.suppress(OperationError):
                        routeFromPlain(parsed.arguments.get("route"))

    route = {"flows": "tcp", "path": ["a", "b"], "table": "monitor", "priority": 7, "egress": None}
    seeds = [encode(Request(1, "route", {"route": route})), encode(Request(2, "mark", {"ports": ["a"], "final": True}))]
    answers = [b'{"id": 1, "result": [1, 2.5, null]}\n', b'{"id": 3, "error": {"refusal": "ABORTED", "reason": "x"}}\n']
    words = [b'"', b"\\u0000", b"{", b"[" * 50, b"1e999", b"NaN", b"-0", b'"id":', b"\n", b"\xff"]
    return Target("local protocol", run, (), [*seeds, *answers], words)


def options() -> Target:
    """The command line of a kind."""
    plugin = findPlugin("bro")

    def run(data: bytes) -> None:
        try:
            words = shlex.split(data.decode("utf-8", "replace"))
        except ValueError:
            return
        words = [word for word in words if not word.startswith(("--logs", "--lo", "--uid", "--ui"))]
        own = plugin.makeOptions()
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                own.parseOptions(words)
        except SystemExit:
            return
        plugin.makeMiddlebox({**own, "logs": None, "max-flows": min(int(own["max-flows"]), 4096)})

    seeds = [b"--no-checksums --json", b"--max-flows 100 --grace 2.5", b"-C --append --grace=0"]
    words = [b" --", b"=", b"nan", b"inf", b"-1", b"1e400", b" --help ", b" --version ", b"''"]
    return Target("options", run, (usage.UsageError, ConfigurationError), seeds, words)


def keyrings(folder: Path) -> Target:
    """Keyring files."""
    path = folder / "ring"
    path.touch(0o600)
    good = [f"# secret\nkind bro\ncurrent {current}\nkey 1 {'ab' * 32}\nkey 2 {'CD' * 32}\n" for current in (1, 2)]

    def run(data: bytes) -> None:
        path.write_bytes(data)
        Keyring.load(path)

    words = [b"kind ", b"current ", b"key ", b"\n", b"99999999999", b"#", b"\x00", b"\xff\xfe"]
    return Target("keyrings", run, (ConfigurationError,), [text.encode() for text in good], words)


def journals(folder: Path) -> Target:
    """Journal files: refused, or read; never another error."""
    path = folder / "journal"
    journal = SQLiteJournal(path)
    for number in range(1, 30):
        ends = Peer("a", bytes(16)), Peer("b", bytes(16))
        journal.write(
            Entry(number, Step.OPEN if number % 3 else Step.CLOSED, *ends, "tcp", bytes(16), reason="aborted")
        )
    journal.close()
    good = path.read_bytes()

    def run(data: bytes) -> None:
        for beside in folder.glob("journal*"):
            beside.unlink()
        path.touch(0o600)
        path.write_bytes(data)
        opened = SQLiteJournal(path)
        try:
            opened.unfinished()
            opened.outcomes(100)
        finally:
            opened.close()

    return Target("journals", run, (ConfigurationError, OperationError), [good])
