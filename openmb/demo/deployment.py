"""
What a deployment needs before anything can run: private directories, certificates, a keyring.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from openmb.southbound.certificates import makeAuthority, makeCertificate
from openmb.southbound.keys import makeKeyring
from openmb.wire.formats import End

CONTROLLER = "controller"
INGRESS = "in"


@dataclass(frozen=True, slots=True)
class Deployment:
    """
    The files of one deployment.

    @ivar root: a directory that only this user can enter; everything else is in it.
    @ivar kind: the kind of its middleboxes.
    """

    root: Path
    kind: str

    @property
    def certificates(self) -> Path:
        """Directory of the certificates."""
        return self.root / "certificates"

    @property
    def keys(self) -> Path:
        """The keyring of the kind."""
        return self.root / f"{self.kind}.keys"

    @property
    def switch(self) -> Path:
        """Directory of the switch's sockets."""
        return self.root / "switch"

    @property
    def socket(self) -> Path:
        """The controller's local socket."""
        return self.root / "openmb.sock"

    @property
    def journal(self) -> Path:
        """The controller's journal."""
        return self.root / "openmb.journal"

    @property
    def announce(self) -> Path:
        """Where the controller writes the number of its port."""
        return self.root / "port"

    @property
    def controllerPort(self) -> int:
        """The port where the controller listens for middleboxes."""
        return int(self.announce.read_text())

    def switchArguments(self, ports: Sequence[str]) -> list[str]:
        """C{twistd} arguments of the switch."""
        named = [word for port in ports for word in ("--port", port)]
        return ["openmb-switch", "--directory", str(self.switch), "--stamps", "capture", "--queue", "256", *named]

    def controllerArguments(self) -> list[str]:
        """C{twistd} arguments of the controller."""
        files = ["--certificates", str(self.certificates), "--switch", str(self.switch)]
        own = ["--socket", str(self.socket), "--journal", str(self.journal), "--announce", str(self.announce)]
        return ["openmb", *files, "--port", "0", *own]

    def middleboxArguments(self, name: str, *own: str) -> list[str]:
        """C{twistd} arguments of a middlebox; C{own} are those of its kind."""
        files = ["--certificates", str(self.certificates), "--keys", str(self.keys), "--switch", str(self.switch)]
        ends = ["--name", name, "--controller", f"127.0.0.1:{self.controllerPort}", "--stamps", "capture"]
        return ["openmb-middlebox", *ends, *files, self.kind, *own]


@contextmanager
def temporaryDeployment(kind: str, middleboxes: Sequence[str]) -> Iterator[Deployment]:
    """Certificates and keys for a controller and C{middleboxes}, in a directory that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="openmb-") as root:
        deployment = Deployment(Path(root), kind)
        makeAuthority(deployment.certificates)
        makeCertificate(deployment.certificates, End.CONTROLLER, CONTROLLER)
        for name in middleboxes:
            makeCertificate(deployment.certificates, End.MIDDLEBOX, name, kind)
        makeKeyring(deployment.keys, kind)
        yield deployment
