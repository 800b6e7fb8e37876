"""
C{twistd openmb-middlebox}: runs one middlebox of any kind.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, cast

from twisted.application.service import IService
from twisted.logger import Logger
from twisted.python import usage

from openmb.clock import steady
from openmb.errors import ConfigurationError
from openmb.hangup import onHangup
from openmb.interfaces import IMiddleboxKind, IMiddleboxPlugin
from openmb.middlebox.agent import Agent
from openmb.middlebox.host import MiddleboxHost
from openmb.middlebox.service import IServiceReactor, MiddleboxPlaces, MiddleboxService
from openmb.middlebox.settings import HostSettings
from openmb.plugins.registry import allKinds, checkMiddlebox, findPlugin
from openmb.serviceoptions import ServiceOptions
from openmb.southbound.live import LiveCredentials, liveKeyring
from openmb.starting import Readiness, checkRunner, mustStart


def _positive(text: str) -> int:
    if not 0 < (value := int(text)) < 1 << 31:
        raise ValueError("must be a positive whole number")
    return value


def _positiveTime(text: str) -> float:
    if not 0 < (value := float(text)) < 1e6:
        raise ValueError("must be positive")
    return value


def _percent(text: str) -> int:
    if not 1 <= (value := int(text)) <= 100:
        raise ValueError("must be from 1 to 100")
    return value


def _optionsOf(kind: IMiddleboxKind) -> Any:
    """@raise UsageError: the kind cannot be used; says why."""
    try:
        return kind.load().makeOptions()
    except ConfigurationError as error:
        raise usage.UsageError(str(error)) from error


class Options(ServiceOptions):
    """Options of a middlebox; the kind is a sub-command with options of its own."""

    synopsis = "--name NAME --certificates DIR --keys FILE --switch DIR [options] KIND [options of the kind]"
    longdesc = "A middlebox: it takes packets from the switch's port of its name and orders from the controller."
    optParameters = [
        ["name", "n", None, "name of the middlebox, as in its certificate and of its port"],
        ["certificates", "c", None, "directory of the certificates"],
        ["keys", "k", None, "keyring of the kind ('openmb keys new' makes one)"],
        ["switch", "s", None, "directory of the embedded switch"],
        ["controller", None, "127.0.0.1:7790", "host:port of the controller"],
        ["controller-name", None, "controller", "name of the controller, as in its certificate"],
        ["slice-slots", None, 64, "table slots that one export step looks at", _positive],
        [
            "slice-time",
            None,
            0.5,
            "milliseconds of export steps before packets have their turn",
            _positiveTime,
        ],
        ["export-share", None, 50, "percent of the event loop that exporting may take while packets come in", _percent],
        ["kept", None, 256, "MiB of copies of re-directed packets", _positive],
        ["hold", None, 256, "MiB of packets that may wait for a switch-over", _positive],
        [
            "set-aside",
            None,
            "set-aside",
            "directory for captures of packets on which the engine threw, made for this user alone when needed",
        ],
        ["announce", None, None, "file to write the name to, once connected to the switch and to the controller"],
        ["stamps", None, "arrival", "what stamps packets carry: 'arrival' (time of day) or 'capture' (a replay)"],
    ]

    @property
    def subCommands(self) -> list[tuple[str, None, Any, str]]:
        """The kinds that are installed."""
        return [(kind.kind, None, lambda kind=kind: _optionsOf(kind), kind.summary) for kind in allKinds()]

    def postOptions(self) -> None:
        """Check what is needed."""
        for name in ("name", "certificates", "keys", "switch"):
            if not self[name]:
                raise usage.UsageError(f"--{name} is needed")
        if self.subCommand is None:
            kinds = ", ".join(kind.kind for kind in allKinds())
            raise usage.UsageError(f"which kind? there are: {kinds}")
        if self["stamps"] not in ("arrival", "capture"):
            raise usage.UsageError("--stamps must be 'arrival' or 'capture'")
        placesOf(self)


def placesOf(options: Options) -> MiddleboxPlaces:
    """What the options say about whom to connect to."""
    host, _, port = options["controller"].rpartition(":")
    if not host or not port.isdecimal():
        raise usage.UsageError(f"--controller must be host:port, not {options['controller']!r}")
    return MiddleboxPlaces(host.strip("[]"), int(port), options["controller-name"], Path(options["switch"]))


def prepareKernels(plugin: IMiddleboxPlugin) -> None:
    """Compile before connecting: a middlebox that is busy compiling answers neither the switch nor the controller."""
    log = Logger()
    began = time.perf_counter()
    log.info("getting the kernels of {kind} ready (the first time this takes half a minute)", kind=plugin.kind)
    plugin.warmUp()
    log.info("ready after {seconds:.1f} s", seconds=time.perf_counter() - began)


def settingsOf(options: Options) -> HostSettings:
    """What the options say about bounds and shares."""
    return HostSettings(
        sliceSlots=options["slice-slots"],
        sliceTime=options["slice-time"] / 1000,
        exportShare=options["export-share"] / 100,
        keptBytes=options["kept"] << 20,
        holdBytes=options["hold"] << 20,
    )


def makeService(options: Options) -> IService:
    """The middlebox's service."""
    from twisted.internet import reactor

    steady(reactor)
    loop = cast(IServiceReactor, cast(Any, reactor))
    kind = str(options.subCommand)
    with mustStart("openmb-middlebox"):
        checkRunner(options.parent)
        readiness = Readiness(options["announce"])
        credentials = LiveCredentials(Path(options["certificates"]), options["name"])
        keys = liveKeyring(Path(options["keys"]))
        plugin = findPlugin(kind)
        if keys.value.kind != kind:
            raise ConfigurationError(f"the keyring {options['keys']} is for {keys.value.kind}, not {kind}")
        terms = plugin.terms(options.subOptions)
        engine = checkMiddlebox(plugin.makeMiddlebox(options.subOptions, append=True))
    prepareKernels(plugin)
    service = MiddleboxService(credentials, keys, placesOf(options), loop, readiness)
    with mustStart("openmb-middlebox"):
        host = MiddleboxHost(
            options["name"],
            kind,
            os.urandom(16),
            engine,
            keys.value,
            service.send,
            loop.seconds,
            settingsOf(options),
            terms.checksums,
            Path(options["set-aside"]).absolute(),
            terms.reassemble,
        )
    service.agent = Agent(host, loop, wallTime=options["stamps"] == "arrival")
    onHangup(reactor, service.examine)
    return service
