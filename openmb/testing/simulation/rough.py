"""
Traffic as networks make it: packets lost, repeated, late, damaged, and bytes that are sent again cut otherwise.
"""

from __future__ import annotations

import random
from dataclasses import replace

from openmb.testing.simulation.traffic import ACK, PSH, Endpoints, Traffic

#: One packet: when, which flow, from the client?, the frame.
Step = tuple[float, int, bool, bytes]
#: Bytes of an Ethernet and an IPv4 header without options; of these and a TCP header.
NETWORK, TRANSPORT = 34, 54
#: The place of the protocol's number, and TCP's.
PROTOCOL, TCP = 23, 6


def roughen(rng: random.Random, traffic: Traffic, span: float) -> Traffic:
    """C{traffic} after a bad path to the switch."""
    steps: list[Step] = []
    for step in zip(traffic.times, traffic.flows, traffic.fromClient, traffic.packets, strict=True):
        steps += disturbed(rng, step, span)
    steps.sort(key=lambda step: step[0])
    seen: set[int] = set()
    for place, (time, flow, fromClient, packet) in enumerate(steps):
        if flow in seen and rng.random() < 0.02:
            steps[place] = (time, flow, fromClient, damaged(rng, packet))
        seen.add(flow)
    return replace(
        traffic,
        times=[step[0] for step in steps],
        flows=[step[1] for step in steps],
        fromClient=[step[2] for step in steps],
        packets=[step[3] for step in steps],
    )


def disturbed(rng: random.Random, step: Step, span: float) -> list[Step]:
    """What becomes of one packet."""
    time, flow, fromClient, packet = step
    late = (time + rng.random() * span * 0.05, flow, fromClient, packet)
    fate = rng.random()
    if fate < 0.04:
        return []
    if fate < 0.08:
        return [step, late]
    if fate < 0.18:
        return [late]
    if fate < 0.26 and packet[PROTOCOL] == TCP and len(packet) > TRANSPORT + 1:
        return [step, (late[0], flow, fromClient, cutOtherwise(rng, packet))]
    return [step]


def cutOtherwise(rng: random.Random, packet: bytes) -> bytes:
    """Some of the bytes of a TCP segment again, in a segment that begins and ends elsewhere."""
    data = packet[TRANSPORT:]
    start = rng.randrange(len(data))
    stop = rng.randrange(start + 1, len(data) + 1)
    source, destination = packet[26:30], packet[30:34]
    ports = [int.from_bytes(packet[NETWORK + at : NETWORK + at + 2]) for at in (0, 2)]
    sequence, acknowledgement = (int.from_bytes(packet[NETWORK + at : NETWORK + at + 4]) for at in (4, 8))
    ends = Endpoints(source, ports[0], destination, ports[1])
    return ends.segment(True, ACK | PSH, sequence + start, acknowledgement, data[start:stop])


def damaged(rng: random.Random, packet: bytes) -> bytes:
    """One bit behind the ports is wrong (else it would be a packet of another flow)."""
    place = rng.randrange(NETWORK + 8, len(packet))
    return packet[:place] + bytes([packet[place] ^ (1 << rng.randrange(8))]) + packet[place + 1 :]
