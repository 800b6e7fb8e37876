"""
C{twistd openmb-switch}: runs the software switch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from twisted.application.service import IService
from twisted.python import usage

from openmb.clock import steady
from openmb.errors import OperationError
from openmb.netctl.embedded.control import nameOf
from openmb.netctl.embedded.service import SwitchService, SwitchSettings
from openmb.netctl.embedded.stamps import StampMode
from openmb.rpc.unix import ILocalReactor
from openmb.serviceoptions import ServiceOptions
from openmb.starting import Readiness, checkRunner, mustStart


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e9:
        raise ValueError("must be positive")
    return value


class Options(ServiceOptions):
    """Options of the switch."""

    synopsis = "--directory DIR [--stamps arrival|capture] [--port NAME]..."
    longdesc = (
        "A software switch whose ports are UNIX sockets, DIR/<port>.sock, that carry pcap streams both ways. "
        "DIR/control.sock is where the controller asks for routes."
    )
    optParameters = [
        ["directory", "d", None, "directory of the sockets (made if missing; only this user may enter it)"],
        ["stamps", "s", "arrival", "time stamps of packets: 'arrival', or 'capture' for replays"],
        ["queue", "q", 4096, "KiB that may wait for one port before reading stops", _positive],
        ["grace", "g", 10.0, "seconds that packets wait for a port to which nobody is connected", _positive],
        ["announce", None, None, "file to write the directory to, once the switch is ready"],
    ]
    compData = usage.Completions(optActions={"directory": usage.CompleteDirs()})

    def __init__(self) -> None:
        super().__init__()
        self["ports"] = []

    def opt_port(self, name: str) -> None:
        """add a port from the start (may be repeated)"""
        try:
            self["ports"].append(nameOf({"name": name}))
        except OperationError as error:
            raise usage.UsageError(str(error)) from error

    opt_p = opt_port

    def postOptions(self) -> None:
        """Check what belongs together."""
        if not self["directory"]:
            raise usage.UsageError("--directory is needed")
        if self["stamps"] not in {mode.value for mode in StampMode}:
            raise usage.UsageError("--stamps must be 'arrival' or 'capture'")


def settingsOf(options: Options) -> SwitchSettings:
    """The settings that the options give."""
    return SwitchSettings(
        Path(options["directory"]).absolute(),
        StampMode(options["stamps"]),
        int(options["queue"] * 1024),
        options["grace"],
        tuple(dict.fromkeys(options["ports"])),
    )


def makeService(options: Options) -> IService:
    """The switch's service."""
    from twisted.internet import reactor

    steady(reactor)
    settings = settingsOf(options)
    with mustStart("openmb-switch"):
        checkRunner(options.parent)
        readiness = Readiness(options["announce"])
        service = SwitchService(
            settings, cast(ILocalReactor, cast(Any, reactor)), ready=lambda: sayReady(readiness, settings)
        )
        service.open()
    return service


def sayReady(readiness: Readiness, settings: SwitchSettings) -> None:
    """The switch is ready: where its sockets are."""
    with mustStart("openmb-switch"):
        readiness.say(str(settings.directory))
