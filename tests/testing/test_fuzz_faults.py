"""Faults put into what is fuzzed: the targets find them, and make the inputs that show them small."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from twisted.python.monkey import MonkeyPatcher
from twisted.trial.unittest import SynchronousTestCase

from openmb.controller.controller import Controller
from openmb.controller.performer import MovePerformer
from openmb.controller.registry import Session
from openmb.errors import ConfigurationError
from openmb.middlebox.host import MiddleboxHost
from openmb.middlebox.selection import Selection
from openmb.middlebox.stream import StreamReceiver
from openmb.netctl.embedded import tap
from openmb.netctl.embedded.service import SwitchSettings
from openmb.netctl.embedded.verbs import SwitchVerbs
from openmb.northbound.commands.fuzz import command
from openmb.rpc.server import Notify
from openmb.southbound import certificates
from openmb.southbound.certificates import Identity, identityOfDER
from openmb.testing.fuzzing import setuptargets
from openmb.testing.fuzzing.campaign import campaign, judge, makeTargets, runInput
from openmb.testing.fuzzing.mutate import Mutator
from openmb.testing.fuzzing.shrink import TRIES, shrink
from openmb.testing.fuzzing.target import Target
from openmb.wire import messages as m


class FaultTests(SynchronousTestCase):
    """One fault each; the input that is kept shows it, and nothing once the fault is mended."""

    def find(self, fault: MonkeyPatcher, target: str, reason: str, limit: int, share: int = 20_000) -> None:
        """A short campaign finds it, and keeps no more than C{limit} bytes; they were more when it was found."""
        with tempfile.TemporaryDirectory() as folder:
            (finding,) = (each for each in campaign(share, 7, [target])[target].findings if reason in each.reason)
            self.assertLessEqual(len(finding.data), limit, finding)
            self.assertLess(len(finding.data), self.before(makeTargets(Path(folder))[target], finding.seed))
        self.assertIn(reason, repr(runInput(target, finding.data)))
        fault.restore()
        self.assertIsNone(runInput(target, finding.data))

    def before(self, target: Target, seed: int) -> int:
        """Bytes of the first input of C{seed} that has no answer."""
        mutator = Mutator(random.Random(f"{target.name} {seed}"), target.seeds, target.words)
        while True:
            data = mutator.make()
            if judge(target, data) is not None:
                return len(data)

    def test_hosts(self) -> None:
        """A stream that takes a frame beyond a gap for impossible."""
        original = StreamReceiver.receive

        def receive(self: StreamReceiver, frame: m.StreamFrame) -> bytes | None:
            if frame.number > self.received + 1:
                raise KeyError(frame.number)
            return original(self, frame)

        self.find(self.patch(StreamReceiver, "receive", receive), "hosts", "KeyError", 40)

    def test_leases(self) -> None:
        """Leases that never end leave something behind."""
        self.find(self.patch(MiddleboxHost, "_checkLeases", lambda host, alone: None), "hosts", "AssertionError", 8)

    def test_unasked(self) -> None:
        """A destination that takes whatever a source sends."""
        fault = self.patch(Selection, "complaint", lambda selection, packets: None)
        self.find(fault, "hosts", "records that nobody asked for", 12)

    def test_controllers(self) -> None:
        """A controller that does not expect words about operations that are over."""

        def strayed(self: Controller, session: Session, message: m.Message, identifier: int) -> None:
            raise KeyError(identifier)

        self.find(self.patch(Controller, "_strayed", strayed), "controllers", "KeyError", 3)

    def test_deadlines(self) -> None:
        """Operations that wait for ever."""

        def tooLong(self: MovePerformer) -> None:
            self._deadline = None

        fault = self.patch(MovePerformer, "_tooLong", tooLong)
        self.find(fault, "controllers", "operations without an end", 3)

    def test_services(self) -> None:
        """Settings that take for granted what an option says."""

        def settingsOf(options: tap.Options) -> SwitchSettings:
            return SwitchSettings(Path(options["directory"]), ports=(options["ports"][0],))

        self.find(self.patch(tap, "settingsOf", settingsOf), "services", "IndexError", 3)

    def test_localSockets(self) -> None:
        """A verb that throws is answered, but logs a failure."""

        async def route(self: SwitchVerbs, arguments: Mapping[str, Any], notify: Notify) -> None:
            raise ZeroDivisionError

        self.find(self.patch(SwitchVerbs, "route", route), "local sockets", "ZeroDivisionError", 90)
        self.assertTrue(self.flushLoggedErrors(ZeroDivisionError))

    def test_credentials(self) -> None:
        """Errors of the library about keys that are none."""

        def readKey(path: Path) -> EllipticCurvePrivateKey:
            try:
                return original(path)
            except ConfigurationError as error:
                raise ValueError("not mended") from error

        original = certificates.readKey
        self.find(self.patch(certificates, "readKey", readKey), "credentials", "ValueError", 0)

    def test_certificates(self) -> None:
        """Names that are not ASCII."""

        def identity(data: bytes) -> Identity:
            if b"\xc3\xa9" in data:
                raise UnicodeError("no ASCII")
            return identityOfDER(data)

        self.find(self.patch(setuptargets, "identityOfDER", identity), "certificates", "UnicodeError", 2)


class ShrinkTests(SynchronousTestCase):
    """Inputs made smaller."""

    def test_parts(self) -> None:
        """What shows it stays, wherever it is; the rest goes."""
        data = random.Random(1).randbytes(5000)
        wanted = data[7], data[2500], data[4999]

        def shows(data: bytes) -> bool:
            rest = iter(data)
            return all(each in rest for each in wanted)

        self.assertEqual(bytes(wanted), shrink(data, shows))

    def test_nothingElse(self) -> None:
        """If everything is needed everything stays, and tries are bounded."""
        asked: list[bytes] = []

        def shows(data: bytes) -> bool:
            asked.append(data)
            return False

        self.assertEqual(b"needed" * 1000, shrink(b"needed" * 1000, shows))
        self.assertEqual(TRIES, len(asked))
        self.assertEqual(b"", shrink(b"", lambda data: True))


class CommandTests(SynchronousTestCase):
    """C{openmb fuzz} itself."""

    def test_findingsReplay(self) -> None:
        """What was found is in a file, and that file shows it again until it is mended."""

        def identity(data: bytes) -> Identity:
            if b"\x30" in data:
                raise KeyError("made up")
            return identityOfDER(data)

        fault = self.patch(setuptargets, "identityOfDER", identity)
        folder = Path(self.mktemp())
        folder.mkdir()
        words = ["--target", "certificates"]
        ran = CliRunner().invoke(command, [*words, "--bytes", "1", "--packets", "0", "--findings", str(folder)])
        self.assertEqual(1, ran.exit_code, ran.output)
        (kept,) = folder.iterdir()
        self.assertEqual(b"\x30", kept.read_bytes())
        again = CliRunner().invoke(command, [*words, "--input", str(kept)])
        self.assertIn("KeyError", str(again.exception))
        fault.restore()
        mended = CliRunner().invoke(command, [*words, "--input", str(kept)])
        self.assertEqual((0, "certificates has an answer to it\n"), (mended.exit_code, mended.output))

    def test_unknownTarget(self) -> None:
        """A name that none has: which there are."""
        ran = CliRunner().invoke(command, ["--target", "nonsense"])
        self.assertEqual(2, ran.exit_code)
        self.assertIn("certificates", ran.output)
