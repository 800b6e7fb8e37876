"""
Has every kernel that the switch uses compiled before the first packet comes.
"""

from __future__ import annotations

from openmb.interfaces import Route
from openmb.netctl.embedded.stamps import StampMode
from openmb.netctl.embedded.switch import Switch
from openmb.packets.batch import LinkType, packetBatch
from openmb.packets.stream import PcapStreamReader, PcapStreamWriter
from openmb.state.headers import HeaderFieldList


def warmUp() -> None:
    """Send one packet through a switch, from stream to stream."""
    switch = Switch(StampMode.CAPTURE)
    switch.addPort("in")
    switch.addPort("out")
    switch.route(Route(HeaderFieldList.parse("udp,tp_dst=53"), ("out",)))
    switch.route(Route(HeaderFieldList.parse("*"), ("out",), priority=1))
    writer, reader = PcapStreamWriter(LinkType.ETHERNET), PcapStreamReader()
    stream = writer.header() + writer.records(packetBatch([bytes(60)], [1]))
    for batch in reader.feed(stream):
        for outgoing in switch.ingress("in", batch, 0).outgoing:
            writer.records(outgoing.batch)
