"""
From a lane to the conversation that the analysers would have come to, and back.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from openmb.plugins.bro.analyzers.analyzer import Surroundings
from openmb.plugins.bro.analyzers.conversation import Conversation
from openmb.plugins.bro.analyzers.http.analyzer import HTTPParser
from openmb.plugins.bro.analyzers.http.inflate import Inflater
from openmb.plugins.bro.analyzers.http.openrow import HTTPRow
from openmb.plugins.bro.analyzers.http.syntax import unescape
from openmb.plugins.bro.fastpath.lanes import (
    AGENT,
    FREE_LANE,
    HOST,
    INFO_REASON,
    METHOD,
    ORIGIN,
    REASON,
    REFERRER,
    URI,
    Lanes,
)
from openmb.plugins.bro.fastpath.pool import takeLaneOf
from openmb.plugins.bro.service import Service


def _text(heap: NDArray[np.uint8], place: Any, size: Any) -> bytes:
    return heap[int(place) : int(place) + int(size)].tobytes()


def conversationOf(lanes: Lanes, at: int, around: Surroundings) -> Conversation:
    """The conversation of the connection whose lane this is; the lane stays as it is."""
    lane, heap = lanes.lanes[at], lanes.heap
    conversation = Conversation(around)
    first = int(lane["swapped"])
    conversation.position = [int(lane["position"][first]), int(lane["position"][1 - first])]
    if lane["matching"]:
        conversation.begin(int(lane["analyzer"]))
    else:
        conversation.attached = 1
        conversation.analyzers = [_parser(lane, around)]
    node = int(lane["first"])
    while node >= 0:
        request = lanes.requests[node]
        conversation.stamp = int(request["stamp"])
        conversation.read(True, _text(heap, request["head"], request["headLength"]))
        node = int(request["next"])
        conversation.tellSkipped(True, int(request["requestLength"] if node >= 0 else lane["clientRead"]))
    if lane["first"] >= 0:
        request = lanes.requests[lane["first"]]
        if request["interimLength"]:
            conversation.read(False, _text(heap, request["interim"], request["interimLength"]))
        if lane["replyLength"]:
            conversation.read(False, _text(heap, lane["reply"], lane["replyLength"]))
    for side in range(2):
        if lane["begunLength"][side]:
            begun = _text(heap, lane["begun"][side], lane["begunLength"][side])
            conversation.stamp = int(lane["lineStamp"])
            conversation.read(side == 0, begun)
    conversation.settle()
    if lane["spoken"] and Service.HTTP not in conversation.services:
        conversation.services.append(Service.HTTP)
        conversation.renamed = True
    for analyzer in conversation.analyzers:
        if isinstance(analyzer, HTTPParser):
            _follow(lanes, lane, analyzer)
    return conversation


def _parser(lane: Any, around: Surroundings) -> HTTPParser:
    """The parser as it was before the requests that are open."""
    waiting = int(lane["waiting"])
    around.requests.request = around.requests.response = int(lane["number"]) - waiting
    around.requests.depth = int(lane["depth"]) - waiting
    parser = HTTPParser(around)
    spoken = bool(lane["spoken"]) and int(lane["number"]) > waiting
    parser.resume(spoken, bool(lane["keepAlive"]), int(lane["requestVersion"]), int(lane["replyVersion"]))
    return parser


def _follow(lanes: Lanes, lane: Any, parser: HTTPParser) -> None:
    """Where the reply's body stands, what else the lane knows, and which sides have ended."""
    inflater = None
    if lane["stream"] >= 0:
        stream = int(lane["stream"])
        inflater = Inflater.of(lanes.numbers[stream], lanes.lengths[stream], lanes.order[stream])
    if lane["replyLength"]:
        line = lane["line"][: int(lane["lineLength"])].tobytes()
        counts = int(lane["serverLeft"]), int(lane["serverLength"])
        parser.follow(int(lane["serverMode"]), *counts, line, inflater)
    parser.end(bool(lane["carriage"]), bool(lane["closes"]), bool(lane["ended"][0]), bool(lane["ended"][1]))


def enter(lanes: Lanes, slot: int, conversation: Conversation, swapped: int, port: int) -> bool:
    """
    Go on without the analysers from here on, if the conversation is ordinary HTTP between two messages.

    @param port: the service of the responder's port.
    """
    analyzer = conversation.ordinary()
    if not isinstance(analyzer, HTTPParser) or lanes.cursors[FREE_LANE] < 0:
        return False
    state = analyzer.between()
    if state is None:
        return False
    lane = lanes.lanes[takeLaneOf(lanes, slot)]
    lane["matching"], lane["spoken"] = 0, 1
    lane["keepAlive"], lane["closes"], lane["requestVersion"], lane["replyVersion"] = state
    lane["number"] = conversation.around.requests.request
    lane["depth"] = conversation.around.requests.depth
    lane["position"] = [conversation.position[swapped], conversation.position[1 - swapped]]
    lane["swapped"], lane["analyzer"] = swapped, port
    return True


def rowOf(lanes: Lanes, node: int) -> HTTPRow:
    """A finished row."""
    request, heap = lanes.requests[node], lanes.heap
    texts = [
        _text(heap, place, size) if place >= 0 else None
        for place, size in zip(request["place"].tolist(), request["size"].tolist(), strict=True)
    ]
    uri = texts[URI]
    assert uri is not None
    info = int(request["infoCode"])
    return HTTPRow(
        stamp=int(request["stamp"]),
        depth=int(request["depth"]),
        method=texts[METHOD],
        host=texts[HOST],
        uri=unescape(uri) if request["escaped"] else uri,
        status=int(request["status"]),
        referrer=texts[REFERRER],
        version=b"%d.%d" % divmod(int(request["version"]), 10),
        userAgent=texts[AGENT],
        origin=texts[ORIGIN],
        requestLength=int(request["requestLength"]),
        responseLength=int(request["responseLength"]),
        statusMessage=texts[REASON],
        infoCode=info or None,
        infoMessage=texts[INFO_REASON] if info else None,
    )
