"""
The kind C{bro}: connection tracking and logs after the model of Bro, now Zeek.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from twisted.plugin import IPlugin
from zope.interface import implementer

from openmb.interfaces import (
    INTERFACE_VERSION,
    IAnnouncer,
    IConfigurable,
    IMiddlebox,
    IMiddleboxPlugin,
    IPerflowState,
    ISharedState,
    RunTerms,
)
from openmb.packets.batch import packetBatch
from openmb.packets.decode import Decoder
from openmb.plugins.bro.adapter import BroAdapter
from openmb.plugins.bro.analyzers.http.inflate import Inflater
from openmb.plugins.bro.engine import BroEngine
from openmb.plugins.bro.fastpath.warming import warmUp as warmUpFastPath
from openmb.plugins.bro.options import BroOptions, settingsOf
from openmb.plugins.bro.records import ROW
from openmb.plugins.bro.reporting.rowtext import RowText
from openmb.plugins.bro.reporting.uid import ConnectionIDs
from openmb.plugins.bro.settings import BroSettings
from openmb.state.headers import HeaderFieldList


@implementer(IMiddlebox, IPerflowState, ISharedState, IConfigurable, IAnnouncer)
class BroMiddlebox(BroEngine, BroAdapter):
    """One running Bro: engine and adapter over the same tables."""


@implementer(IPlugin, IMiddleboxPlugin)
class BroPlugin:
    """Makes Bro middleboxes."""

    interfaceVersion = INTERFACE_VERSION
    kind = "bro"
    summary = "connections and HTTP requests, logged as Zeek logs them"

    def warmUp(self) -> None:
        """See C{IMiddleboxPlugin}."""
        warmUp()

    def makeOptions(self) -> BroOptions:
        """See C{IMiddleboxPlugin}."""
        return BroOptions()

    def terms(self, options: Any) -> RunTerms:
        """See C{IMiddleboxPlugin}."""
        return RunTerms(reassemble=True, checksums=not options["no-checksums"])

    def makeMiddlebox(self, options: Any, append: bool = False) -> BroMiddlebox:
        """See C{IMiddleboxPlugin}."""
        return BroMiddlebox(settingsOf(options, append))


def warmUp() -> None:
    """Compile the kernels: one SYN that is tracked, moved to another middlebox, and reported there; one body; rows."""
    Inflater().feed(b"\x78")
    warmUpFastPath()
    RowText(ConnectionIDs()).format(np.zeros((0, 5), np.uint64), np.zeros(0, ROW))
    octets = bytes.fromhex("4500002800000000400600000a0000010a00000204000050000000010000000050020200") + bytes(4)
    packets = Decoder(checksums=False).decode(packetBatch([octets], [1], link=101))
    source, destination = BroMiddlebox(BroSettings()), BroMiddlebox(BroSettings())
    everything = HeaderFieldList()
    source.process(packets, None)
    destination.prepare(1, everything)
    for batches in source.getPerflow(everything, 1, 4096):
        for batch in batches:
            destination.putPerflow(1, batch)
    destination.reprocess(1, packets)
    destination.commit(1)
    source.delPerflow(1, everything)
    destination.advance(3_600_000_000_000)
