"""Log files, ids, options, the plugin, and runs without the compiler."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as some
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from openmb.errors import ConfigurationError
from openmb.interfaces import IMiddleboxPlugin
from openmb.middlebox.offline import runOffline
from openmb.packets.capture import openCapture
from openmb.packets.decode import Decoder
from openmb.plugins.bro.reporting.locality import isLocal
from openmb.plugins.bro.reporting.logfile import LogFile
from openmb.plugins.bro.reporting.logs import Column, JSONFormat, TSVFormat, fieldText, readable, seconds
from openmb.plugins.bro.reporting.uid import ConnectionIDs, base62, readKey
from openmb.plugins.registry import findPlugin
from openmb.state.addresses import addressWords
from tests.plugins.bro.running import decodeCapture, end, makeBro, runDecoded, sortedRows
from tests.shared import needSharedFolder


class FormatTests(SynchronousTestCase):
    """Fields as Zeek writes them."""

    def test_fields(self) -> None:
        for value, kind, text in (
            (None, "count", "-"),
            (True, "bool", "T"),
            (1_500_000, "interval", "1.500000"),
            (-1, "time", "-0.000001"),
            (80, "port", "80"),
            ("", "string", "(empty)"),
            ("-", "string", "\\x2d"),
            ("(empty)", "string", "\\x28empty)"),
            ("a\tb\\c", "string", "a\\x09b\\\\c"),
            (b"caf\xc3\xa9", "string", "café"),
            (b"caf\xc3\xa9\x01", "string", "caf\\xc3\\xa9\\x01"),
            (b"\xff\\", "string", "\\xff\\\\"),
        ):
            self.assertEqual(fieldText(value, kind), text, value)

    def test_several(self) -> None:
        """Sets and vectors: elements are escaped as fields are, and their commas too."""
        for value, kind, text in (
            ((), "set[enum]", "(empty)"),
            ((b"VIA -> a,b", b"c\\"), "set[string]", "VIA -> a\\x2cb,c\\\\"),
            ((b"-", b"", None), "vector[string]", "\\x2d,(empty),-"),
            ((1_500_000, 0), "vector[interval]", "1.500000,0.000000"),
            ((80,), "set[port]", "80"),
        ):
            self.assertEqual(fieldText(value, kind), text, value)
            self.assertEqual(TSVFormat("x", (Column("a", kind),)).row([value]), text + "\n")

    def test_severalAsJSON(self) -> None:
        columns = (Column("a", "set[string]"), Column("b", "vector[interval]"), Column("c", "set[enum]"))
        row = JSONFormat("x", columns).row([(b"a,b", b"\xff"), (1_500_000,), ()])
        self.assertEqual(row, '{"a":["a,b","\\\\xff"],"b":[1.500000],"c":[]}\n')

    @given(some.binary())
    def test_readable(self, data: bytes) -> None:
        """Whatever the bytes, a field holds neither tab nor line end."""
        self.assertFalse(set(readable(data)) & set("\t\n\r"))

    @given(some.integers(-(10**15), 10**15))
    def test_seconds(self, value: int) -> None:
        self.assertEqual(round(float(seconds(value)) * 1_000_000), value)

    def test_file(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        log = LogFile(folder, "some", (Column("ts", "time"), Column("name", "string")), asJSON=False)
        log.writeAll([[1_000_000, "#x"]])
        self.assertEqual(list(folder.iterdir()), [])
        log.flush()
        log.close()
        lines = (folder / "some.log").read_text().splitlines()
        self.assertEqual(
            lines[:5],
            ["#separator \\x09", "#set_separator\t,", "#empty_field\t(empty)", "#unset_field\t-", "#path\tsome"],
        )
        self.assertEqual(lines[6:9], ["#fields\tts\tname", "#types\ttime\tstring", "1.000000\t#x"])
        self.assertTrue(lines[5].startswith("#open\t") and lines[9].startswith("#close\t"))

    def test_json(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        log = LogFile(
            folder, "some", (Column("ts", "time"), Column("id.orig_p", "port"), Column("x", "bool")), asJSON=True
        )
        log.writeAll([[1_500_000, 80, None]])
        log.writeAll([[1, 2, False]])
        log.close()
        lines = (folder / "some.log").read_text().splitlines()
        self.assertEqual(
            [json.loads(line) for line in lines],
            [{"ts": 1.5, "id.orig_p": 80}, {"ts": 0.000001, "id.orig_p": 2, "x": False}],
        )

    def test_jsonText(self) -> None:
        """Text in JSON: bytes that are no UTF-8 as C{\\xHH}, everything else as JSON has it."""
        for data, expected in (
            (b"plain", "plain"),
            (b'a\\b"c', 'a\\b"c'),
            ("\u00fc\u4e2d".encode(), "\u00fc\u4e2d"),
            (b"\xff\xc3\xbc", "\\xff\\xc3\\xbc"),
            ("\u0085\u00fc".encode(), "\\xc2\\x85\\xc3\\xbc"),
            ("\ue000".encode(), "\\xee\\x80\\x80"),
            (b"a\tb\nc\r\b\f", "a\tb\nc\r\b\f"),
            (b"\0\x1b\x7f", "\\x00\\x1b\\x7f"),
            (b"", ""),
        ):
            self.assertEqual(expected, json.loads(JSONFormat("x", (Column("s", "string"),)).row([data]))["s"], data)

    def test_local(self) -> None:
        for text, expected in (("10.1.2.3", True), ("8.8.8.8", False), ("224.0.0.251", True), ("fe80::1", True),
                               ("2002:0a00:0001::1", True), ("2600::1", False), ("::1", True)):  # fmt: skip
            self.assertEqual(isLocal(*addressWords(text)), expected, text)


class IDTests(SynchronousTestCase):
    """Connection ids."""

    def test_base62(self) -> None:
        """Least significant digit first."""
        self.assertEqual([base62(number) for number in (0, 9, 10, 61, 62, 63)], ["0", "9", "a", "Z", "01", "11"])

    def test_stable(self) -> None:
        """The default key never changes: logs of different releases agree."""
        self.assertEqual(ConnectionIDs().identify(bytes(40), 0), GOLDEN_ID)

    def test_keyed(self) -> None:
        first, second = ConnectionIDs(b"0123456789"), ConnectionIDs(b"9876543210")
        self.assertNotEqual(first.identify(bytes(40), 5), second.identify(bytes(40), 5))
        self.assertNotEqual(first.identify(bytes(40), 5), first.identify(bytes(40), 6))

    def test_keyOption(self) -> None:
        path = Path(self.mktemp())
        path.write_text("00112233445566778899\n")
        self.assertEqual(readKey(str(path)), bytes.fromhex("00112233445566778899"))
        self.assertEqual(readKey("0011223344556677"), bytes.fromhex("0011223344556677"))
        for bad in ("abc", "00", "/nowhere/at/all"):
            self.assertRaises(ConfigurationError, readKey, bad)


GOLDEN_ID = "CBdBYt48dBZwYbnyX5"


class PluginTests(SynchronousTestCase):
    """The kind as the host and the command line see it."""

    def test_found(self) -> None:
        verifyObject(IMiddleboxPlugin, findPlugin("bro"))

    def test_options(self) -> None:
        options = findPlugin("bro").makeOptions()
        options.parseOptions(["--no-checksums", "--json", "--logs", self.mktemp(), "--max-flows", "10"])
        middlebox = findPlugin("bro").makeMiddlebox(options)
        self.assertEqual(middlebox.kind, "bro")
        self.assertTrue(options["no-checksums"])

    def test_badOptions(self) -> None:
        blocked = Path(self.mktemp())
        blocked.write_text("a file")
        for arguments in (["--max-flows", "0"], ["--grace", "-1"], ["--uid-key", "x"], ["--logs", str(blocked)]):
            options = findPlugin("bro").makeOptions()
            options.parseOptions(arguments)
            self.assertRaises(ConfigurationError, findPlugin("bro").makeMiddlebox, options)

    def test_offline(self) -> None:
        case = needSharedFolder() / "traces" / "bro" / "scripts.base.protocols.http.http-pipelining"
        capture = next(case.glob("*.pcap*"))
        folder, other = Path(self.mktemp()), Path(self.mktemp())
        runOffline(makeBro(folder), Decoder(checksums=False), [openCapture(capture)])
        runDecoded(other, decodeCapture(capture))
        self.assertEqual(sortedRows(folder), sortedRows(other))

    def test_jsonRows(self) -> None:
        """JSON logs hold the same rows."""
        case = needSharedFolder() / "traces" / "bro" / "scripts.base.protocols.http.http-pipelining"
        folder = Path(self.mktemp())
        middlebox = makeBro(folder, asJSON=True)
        for packets in decodeCapture(next(case.glob("*.pcap*"))):
            middlebox.process(packets, None)
        end(middlebox)
        rows = [json.loads(line) for line in (folder / "http.log").read_text().splitlines()]
        self.assertEqual({row["trans_depth"] for row in rows}, set(range(1, len(rows) + 1)))
        self.assertEqual({row["uid"] for row in rows}, {json.loads((folder / "conn.log").read_text())["uid"]})


class PlainTests(SynchronousTestCase):
    """The kernels as plain Python."""

    def test_withoutCompiler(self) -> None:
        """NUMBA_DISABLE_JIT=1 gives the same logs, moved records included."""
        program = (
            "import sys\nfrom pathlib import Path\n"
            "from tests.plugins.bro.running import *\n"
            "runDecoded(Path(sys.argv[2]), decodeCapture(Path(sys.argv[1])))\n"
        )
        root = Path(__file__).resolve().parent.parent.parent.parent
        for case in ("bro/core.tcp.missing-syn", "bro/scripts.base.protocols.http.http-pipelining", "ndpi/ajp.pcap"):
            capture = next((needSharedFolder() / "traces" / case).glob("*.pcap*"))
            plain, compiled = Path(self.mktemp()), Path(self.mktemp())
            environment = dict(os.environ, NUMBA_DISABLE_JIT="1", PYTHONPATH=str(root))
            ran = subprocess.run(
                [sys.executable, "-W", "error::RuntimeWarning", "-c", program, str(capture), str(plain)],
                env=environment,
                capture_output=True,
                text=True,
            )
            self.assertEqual((ran.returncode, ran.stderr), (0, ""))
            runDecoded(compiled, decodeCapture(capture))
            self.assertEqual(sortedRows(plain), sortedRows(compiled), case)
            self.assertTrue(sortedRows(plain)["conn.log"])


class OlderLogTests(SynchronousTestCase):
    """What lies in the directory already."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.file = self.directory / "conn.log"
        self.file.write_text("an older row\n", encoding="utf-8")

    def log(self, append: bool) -> LogFile:
        return LogFile(self.directory, "conn", (Column("id", "count"),), False, append)

    def test_writtenOver(self) -> None:
        """An older log is written over, also by a run without a row."""
        log = self.log(False)
        log.close()
        text = self.file.read_text(encoding="utf-8")
        self.assertTrue(text.startswith("#separator"))
        self.assertNotIn("older", text)

    def test_continued(self) -> None:
        """A service goes on with it."""
        log = self.log(True)
        log.writeAll([[7]])
        log.close()
        lines = self.file.read_text(encoding="utf-8").splitlines()
        self.assertEqual(("an older row", True), (lines[0], "7" in lines))

    def test_afterTheEnd(self) -> None:
        """Rows that come after the end join the others."""
        log = self.log(False)
        for number in (1, 2):
            log.writeAll([[number]])
            log.close()
        lines = self.file.read_text(encoding="utf-8").splitlines()
        self.assertTrue({"1", "2"} <= set(lines))
