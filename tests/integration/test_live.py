"""The live recipe of the README: tcpdump on an interface, through nc, into the switch, to a middlebox."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess

from twisted.trial.unittest import SkipTest

from tests.integration.services import RunningServices
from tests.test_readme import blocks

_FLOWS, _EACH = 4, 3


class LiveTests(RunningServices):
    """On the loopback interface, as root."""

    names = ("bro1", "bro2")

    def own(self, name: str) -> tuple[str, ...]:
        """What is captured where it is sent has no checksums yet."""
        return "--no-checksums", *super().own(name)

    def recipe(self, ports: list[int]) -> str:
        """The README's command, for the loopback interface and these ports alone."""
        for program in ("tcpdump", "nc"):
            if shutil.which(program) is None:
                raise SkipTest(f"{program} is not installed")
        if os.geteuid() != 0:
            raise SkipTest("only root can capture")
        command = blocks("## Moving a flow by hand", "## More")[-1].strip()
        chosen = " or ".join(f"udp port {port}" for port in ports)
        said = command.replace("-i eth0 -w -", f"-i lo -w - {shlex.quote(chosen)}")
        said = said.replace("switch/in.sock", shlex.quote(str(self.deployment.switch / "in.sock")))
        self.assertNotEqual(command, said)
        return said

    def capture(self, command: str) -> None:
        """Run the command until the test ends."""
        with self.childLog("tcpdump").open("w") as log:
            running = subprocess.Popen(["bash", "-c", command], stderr=log, start_new_session=True)
        self.addCleanup(running.wait)
        self.addCleanup(os.killpg, running.pid, signal.SIGKILL)

    async def test_recipe(self) -> None:
        """Datagrams that are sent now are seen at once."""
        await self.start()
        self.assertEqual(("", 0), await self.openmb("route", "*", "bro1"))
        ends = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2 * _FLOWS)]
        for end in ends:
            end.bind(("127.0.0.1", 0))
            self.addCleanup(end.close)
        pairs = list(zip(ends[:_FLOWS], ends[_FLOWS:], strict=True))
        command = self.recipe([end.getsockname()[1] for end in ends[:_FLOWS]])
        self.capture(command)
        await self.until("tcpdump", lambda: "listening on" in self.childLog("tcpdump").read_text())
        for _ in range(_EACH):
            for one, other in pairs:
                one.sendto(b"hello", other.getsockname())
        await self.holds("bro1", _FLOWS)
