"""Over real sockets: a middlebox with a good certificate and the kind's keys that says what is not its to say."""

from __future__ import annotations

from openmb.errors import Refusal
from openmb.testing.adapters import START, manyFlows
from openmb.wire import messages as m
from tests.integration.wire import Middlebox, WireCase


class RefusingSource(WireCase):
    """A source cannot undo what the journal says is committed."""

    def refuseAtMarkers(self, source: Middlebox) -> list[int]:
        """The first marker tells the source that COMMIT was written: then it refuses it, in the destination's stead."""
        refused: list[int] = []
        receive = source.host.packetsReceived

        def lie(batch: object) -> None:
            for status in source.host.hello().operations:
                if status.state == "diverted" and not refused:
                    refused.append(status.operation)
                    assert source.link is not None
                    source.link.send(m.Refused(status.operation, m.MessageType.COMMIT, Refusal.WRONG_STATE, "no"))
            receive(batch)  # type: ignore[arg-type]

        source.host.packetsReceived = lie  # type: ignore[method-assign]
        return refused

    async def test_commit(self) -> None:
        """The move goes on to its end; the report counts the lie, and the log names the liar."""
        source = await self.join("a")
        await self.join("b")
        source.host.packetsReceived(manyFlows())
        lies = self.refuseAtMarkers(source)
        self.assertIsNone(await self.move("a", "b"))
        await self.until(lambda: not self.controller.moves)
        (report,) = self.controller.history
        self.assertEqual((1, 1, None), (len(lies), report.strays, report.refusal))
        (line,) = self.said("is not for the source to say")
        self.assertIn("a: Refused (request 26: no)", line)
        self.network.boxes["b"].host.packetsReceived(manyFlows(start=START + 10**8))
        self.assertEqual([], source.rows)
        self.assertEqual(6, len(self.rows()))
