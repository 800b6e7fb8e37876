"""
C{twistd openmb}: runs the controller.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from twisted.application.service import IService
from twisted.python import usage

from openmb.clock import steady
from openmb.controller.controller import Controller
from openmb.controller.journal import SQLiteJournal
from openmb.hangup import onHangup
from openmb.netctl.registry import allNetworks, connectNetwork
from openmb.service import ControllerPlaces, ControllerService, IServiceReactor
from openmb.serviceoptions import ServiceOptions
from openmb.southbound.live import LiveCredentials
from openmb.starting import Readiness, checkRunner, mustStart


def _port(text: str) -> int:
    if not 0 <= (value := int(text)) < 1 << 16:
        raise ValueError("must be from 0 to 65535")
    return value


class Options(ServiceOptions):
    """Options of the controller."""

    synopsis = "--certificates DIR --network KIND:PLACE [options]"
    longdesc = (
        "The OpenMB controller: middleboxes connect to it over TLS, applications use it through the local socket "
        "(see 'openmb --help'), and it steers packets through the network."
    )
    optParameters = [
        ["name", "n", "controller", "name of the controller, as in its certificate"],
        ["certificates", "c", None, "directory of the certificates ('openmb certs' makes them)"],
        ["network", None, None, "the network that steers packets to middleboxes, as 'embedded:DIR'"],
        ["switch", "s", None, "directory of the embedded switch: short for --network embedded:DIR"],
        ["interface", "i", "127.0.0.1", "address that middleboxes connect to"],
        ["port", "p", 7790, "TCP port that middleboxes connect to; 0 for any free one", _port],
        ["socket", None, "openmb.sock", "local socket for the command line"],
        ["journal", "j", "openmb.journal", "file in which every decision is written before it is acted on"],
        ["announce", None, None, "file to write the port number to, once the controller is ready"],
    ]
    compData = usage.Completions(optActions={"certificates": usage.CompleteDirs(), "switch": usage.CompleteDirs()})

    def postOptions(self) -> None:
        """Check what is needed."""
        if not self["certificates"]:
            raise usage.UsageError("--certificates is needed")
        if bool(self["network"]) is bool(self["switch"]):
            raise usage.UsageError("one of --network and --switch is needed, and not both")
        if self["switch"]:
            self["network"] = f"embedded:{self['switch']}"

    def getUsage(self, width: int | None = None) -> str:
        """The help, with the networks that there are."""
        kinds = "\n".join(f"  {kind.name}:{kind.place}  {kind.summary}" for kind in allNetworks())
        return f"{super().getUsage(width)}\nNetworks:\n{kinds}\n"


def makeService(options: Options) -> IService:
    """The controller's service."""
    from twisted.internet import reactor

    steady(reactor)
    loop = cast(IServiceReactor, cast(Any, reactor))
    places = ControllerPlaces(options["interface"], options["port"], Path(options["socket"]).absolute())
    with mustStart("openmb"):
        checkRunner(options.parent)
        readiness = Readiness(options["announce"])
        credentials = LiveCredentials(Path(options["certificates"]), options["name"])
        journal = SQLiteJournal(Path(options["journal"]).absolute())
        network = connectNetwork(options["network"], loop)
        service = ControllerService(Controller(network, journal, loop), credentials, places, loop, readiness)
        service.open()
    onHangup(reactor, service.examine)
    return service
