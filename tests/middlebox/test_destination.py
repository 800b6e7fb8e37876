"""The destination's end, message by message after the table in docs/handover.md."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from openmb.errors import Refusal
from openmb.packets.marker import BACK_MARKERS
from openmb.state.headers import EVERYTHING
from openmb.testing.adapters import START, manyFlows
from openmb.wire import messages as m
from tests.middlebox.rig import OP, TOKEN, End, Pair, peer, single

LATER = START + 100_000_000


def records(end: End) -> int:
    return end.engine.usage(EVERYTHING)[0].records


class DestinationTests(SynchronousTestCase):
    """A destination with a real source."""

    def test_prepare(self) -> None:
        """PREPARED, the same nonce again if asked again; another destination has another."""
        pair = Pair()
        pair.b.tell(pair.prepare, pair.prepare)
        self.assertEqual([m.Prepared(OP, pair.b.nonce)] * 2, pair.b.sent)
        other = Pair()
        other.b.tell(other.prepare)
        self.assertNotEqual(other.b.nonce, pair.b.nonce)

    def test_prepareForAnotherIncarnation(self) -> None:
        """Refused, and nothing is left behind: neither an operation nor room for its records."""
        pair = Pair()
        pair.b.tell(replace(pair.prepare, destination=m.Peer("b", bytes(16))))
        self.assertEqual(Refusal.BAD_REQUEST, pair.b.refusal())
        self.assertEqual((0, {}), (pair.b.host.operations, pair.b.engine._provisional))
        pair.a.tell(replace(pair.get, source=peer("b")))
        self.assertEqual((Refusal.BAD_REQUEST, 0), (pair.a.refusal(), pair.a.host.operations))

    def test_finerThanNative(self) -> None:
        """Refused with the request that it answers; so are flows that make no sense."""
        pair = Pair()
        pair.b.tell(replace(pair.prepare, flows="dl_vlan=5"))
        (refused,) = pair.b.take(m.Refused)
        self.assertEqual((Refusal.FINER_THAN_NATIVE, m.MessageType.PREPARE), (refused.refusal, refused.request))
        pair.b.tell(replace(pair.prepare, flows="no such field"))
        self.assertEqual((Refusal.BAD_REQUEST, 0), (pair.b.refusal(), pair.b.host.operations))

    def test_installed(self) -> None:
        """INSTALLED with the counts, events included; the records are invisible."""
        pair = Pair()
        pair.a.feed(manyFlows())
        pair.b.tell(pair.prepare)
        pair.a.tell(pair.get)
        pair.a.host.work()
        pair.a.feed(manyFlows((0,), LATER))
        while pair.a.host.work():
            pass
        pair.relay()
        (installed,) = pair.b.take(m.Installed)
        self.assertEqual((OP, 6, 4), (installed.operation, installed.records, installed.reprocessed))
        self.assertEqual(0, records(pair.b))

    def test_anotherTransfer(self) -> None:
        """Frames of another transfer of the same operation do not open: its salt is another."""
        pair, other = Pair(), Pair()
        pair.b.tell(pair.prepare)
        other.b.nonce = pair.b.nonce
        pair.b.tell(self._framesOf(other)[0])
        for frame in self._framesOf(pair)[1:2]:
            pair.b.tell(frame)
        self.assertEqual(Refusal.SEAL_BROKEN, pair.b.refusal())

    def test_replayed(self) -> None:
        """A recorded transfer that is played back, PREPARE and all, opens no second time: the nonce is another."""
        pair = Pair()
        pair.b.tell(pair.prepare)
        frames = self._framesOf(pair)
        pair.b.tell(*frames)
        self.assertEqual(6, pair.b.take(m.Installed)[0].records)
        pair.b.tell(m.Discard(OP, False), m.Close(OP))
        pair.b.tell(pair.prepare, *frames)
        refusals = [refused.refusal for refused in pair.b.take(m.Refused)]
        self.assertEqual(Refusal.SEAL_BROKEN, refusals[0])
        self.assertEqual([], pair.b.take(m.Installed))
        self.assertEqual(0, pair.b.engine.usage(EVERYTHING)[0].records)

    def _framesOf(self, pair: Pair) -> list[m.StreamFrame]:
        pair.a.feed(manyFlows())
        pair.a.tell(pair.get)
        while pair.a.host.work():
            pass
        return pair.a.take(m.StreamFrame)

    def test_countMismatch(self) -> None:
        """A source that counts differently from what came: COUNT_MISMATCH."""
        pair = Pair()
        pair.b.tell(pair.prepare)
        pair.a.feed(manyFlows())
        pair.a.tell(pair.get)
        pair.a.host._operations[OP]._exported = 1  # type: ignore[union-attr]
        while pair.a.host.work():
            pass
        pair.relay()
        self.assertEqual(Refusal.COUNT_MISMATCH, pair.b.refusal())

    def test_alteredFrames(self) -> None:
        """Altered, re-labelled, replayed: refused or passed over, and the genuine stream is not disturbed."""
        pair = Pair()
        pair.b.tell(pair.prepare)
        frames = self._framesOf(pair)
        for place, frame in enumerate(frames):
            if place:
                pair.b.tell(replace(frame, sealed=bytes((frame.sealed[0] ^ 1,)) + frame.sealed[1:]))
                self.assertEqual(Refusal.SEAL_BROKEN, pair.b.refusal())
                pair.b.tell(frames[place - 1])
            pair.b.tell(frame)
        self.assertEqual(len(frames) - 1, pair.b.host.counts.refusedFrames)
        self.assertEqual(6, pair.b.take(m.Installed)[0].records)

    def test_hold(self) -> None:
        """Matching direct packets wait, others do not; twice is as once."""
        pair = Pair().installed()
        pair.b.sent.clear()
        pair.b.tell(m.Hold(OP, TOKEN), m.Hold(OP, TOKEN))
        self.assertEqual([m.Holding(OP)] * 2, pair.b.sent)
        pair.b.feed(manyFlows(start=LATER))
        self.assertEqual(0, records(pair.b))

    def test_holdQueueFull(self) -> None:
        """A full hold queue stops the reading of packets until some are applied."""
        pair = Pair(holdBytes=200).confirmed()
        pair.b.feed(manyFlows(start=LATER))
        self.assertFalse(pair.b.host.wantsPackets)
        pair.b.tell(m.Commit(OP))
        self.assertFalse(pair.b.host.wantsPackets)
        pair.a.mark(LATER + 10**9, True)
        pair.relay()
        pair.tick(2.0)
        self.assertTrue(pair.b.host.wantsPackets)

    def test_creditWithheld(self) -> None:
        """While too many re-directed packets wait, their frames get no credit."""
        pair = Pair(redirectBytes=100).confirmed()
        pair.tick()
        pair.a.feed(manyFlows(start=LATER))
        pair.tick()
        self.assertEqual(1, len(pair.a.host._operations[OP].sender.unacknowledged()))  # type: ignore[union-attr]
        pair.b.tell(m.Commit(OP))
        pair.b.mark(LATER + 10**9)
        pair.tick()
        self.assertEqual((), pair.a.host._operations[OP].sender.unacknowledged())  # type: ignore[union-attr]

    def test_divertedBeforeHold(self) -> None:
        """The source's vote before HOLD is refused."""
        pair = Pair().installed()
        pair.a.tell(m.Divert(OP, TOKEN))
        pair.relay()
        self.assertEqual(Refusal.WRONG_STATE, pair.b.refusal())

    def test_conflict(self) -> None:
        """A live record of its own in the way: CONFLICTING_RECORD in place of DIVERT_CONFIRMED."""
        pair = Pair().installed()
        pair.b.feed(manyFlows((0,), LATER))
        pair.b.tell(m.Hold(OP, TOKEN))
        pair.a.tell(m.Divert(OP, TOKEN))
        pair.relay()
        self.assertEqual(Refusal.CONFLICTING_RECORD, pair.b.refusal())

    def test_commitTooEarly(self) -> None:
        """COMMIT before the vote is confirmed is refused."""
        pair = Pair().installed()
        pair.b.tell(m.Commit(OP))
        self.assertEqual(Refusal.WRONG_STATE, pair.b.refusal())
        self.assertEqual(0, records(pair.b))

    def test_commit(self) -> None:
        """COMMITTED with the count, the same again if asked again; not before a marker bears witness."""
        for witness in ("direct", "source", "gone"):
            pair = Pair().confirmed()
            pair.b.sent.clear()
            pair.b.tell(m.Commit(OP), m.Commit(OP))
            self.assertEqual(([], 0), (pair.b.sent, records(pair.b)))
            self._witness(pair, witness)
            pair.b.tell(m.Commit(OP))
            self.assertEqual([m.Committed(OP, 6)] * 2, pair.b.take(m.Committed))
            self.assertEqual(6, records(pair.b))

    def test_witnessFirst(self) -> None:
        """A marker that comes before COMMIT is remembered; one of the way back bears no witness."""
        for witness in ("direct", "source", "gone"):
            pair = Pair().confirmed()
            self._witness(pair, witness)
            self.assertEqual(([], 0), (pair.b.take(m.Committed), records(pair.b)))
            pair.b.tell(m.Commit(OP))
            self.assertEqual([m.Committed(OP, 6)], pair.b.take(m.Committed))
        pair = Pair().confirmed()
        pair.b.mark(LATER, True, number=BACK_MARKERS + 1)
        pair.b.tell(m.Commit(OP))
        self.assertEqual([], pair.b.take(m.Committed))

    def _witness(self, pair: Pair, witness: str) -> None:
        if witness == "direct":
            pair.b.mark(LATER)
        elif witness == "source":
            pair.a.mark(LATER)
            pair.relay()
        else:
            pair.b.tell(m.SourceGone(OP))

    def test_mergeByStamp(self) -> None:
        """Re-directed and direct packets are applied in the order of the stamps, whichever comes first."""
        pair = Pair().confirmed()
        later = manyFlows(start=LATER)
        even, odd = later.select(slice(0, None, 2)), later.select(slice(1, None, 2))
        pair.b.feed(odd)
        pair.b.tell(m.Commit(OP))
        pair.a.feed(even)
        pair.relay()
        pair.a.mark(LATER + 10**9, True)
        pair.b.mark(LATER + 10**9 + 1)
        pair.relay()
        pair.tick(2.0)
        (merged,) = pair.b.take(m.Merged)
        self.assertEqual((12, 12, 0), (merged.redirected, merged.held, merged.late))
        pair.a.tell(m.Delete(OP, 100))
        self.assertEqual(single(manyFlows(), later), pair.finish())

    def test_nothingBeforeTheOtherSequence(self) -> None:
        """A direct packet is not applied while an earlier one may still come from the source."""
        pair = Pair().confirmed()
        pair.b.tell(m.Commit(OP))
        pair.b.mark(START)
        pair.b.feed(manyFlows((9,), LATER))
        self.assertEqual(6, records(pair.b))
        pair.a.mark(LATER - 1)
        pair.relay()
        self.assertEqual(6, records(pair.b))
        pair.a.mark(LATER + 10**9)
        pair.relay()
        self.assertEqual(7, records(pair.b))

    def test_sourceGone(self) -> None:
        """After SOURCE_GONE the merge ends without DRAINED."""
        pair = Pair().confirmed()
        pair.b.tell(m.Commit(OP), m.SourceGone(OP))
        pair.tick(2.0)
        self.assertEqual(1, len(pair.b.take(m.Merged)))

    def test_late(self) -> None:
        """Packets in the window are processed on arrival and counted at the source."""
        pair = Pair().merged()
        pair.a.tell(m.Delete(OP, 100))
        later = manyFlows(start=LATER)
        pair.a.feed(later)
        pair.relay()
        pair.tick(0.2)
        pair.tick()
        self.assertEqual([m.WindowClosed(OP, len(later), 0)], pair.a.take(m.WindowClosed))
        self.assertEqual(single(manyFlows(), later), pair.finish())

    def test_discard(self) -> None:
        """Provisional records go in silence, held packets are its own; twice is as once."""
        pair = Pair().confirmed()
        held = manyFlows(start=LATER)
        pair.b.feed(held)
        pair.b.sent.clear()
        pair.b.tell(m.Discard(OP, False), m.Discard(OP, False))
        self.assertEqual([m.Discarded(OP, 0)] * 2, pair.b.sent)
        pair.b.host.finish()
        self.assertEqual(single(held), sorted(f"{row.flow} {row.line}" for row in pair.b.rows))

    def test_discardAfterCommit(self) -> None:
        """Too late: refused."""
        pair = Pair().merged()
        pair.b.tell(m.Discard(OP, False))
        self.assertEqual((Refusal.WRONG_STATE, 6), (pair.b.refusal(), records(pair.b)))

    def test_giveBack(self) -> None:
        """What it holds goes back, and the source goes on in the order of the stamps."""
        pair = Pair().confirmed()
        later = manyFlows(start=LATER)
        pair.a.feed(later.select(slice(0, None, 2)))
        pair.b.feed(later.select(slice(1, None, 2)))
        pair.relay()
        pair.a.tell(m.Unmark(OP, True))
        pair.b.tell(m.Discard(OP, True))
        self.assertEqual([], pair.a.take(m.Unmarked))
        pair.b.mark(LATER + 10**9, number=BACK_MARKERS)
        pair.b.mark(LATER + 10**9 + 1, True)  # of the way forward, overtaken by the abort
        self.assertEqual([], pair.b.take(m.Discarded))
        pair.b.mark(LATER + 10**9 + 2, True, number=BACK_MARKERS + 1)
        pair.relay()
        self.assertEqual([m.Discarded(OP, 12)], pair.b.take(m.Discarded))
        self.assertEqual([], pair.a.take(m.Unmarked))  # its own path might still bring something earlier
        pair.tick(1.0)
        self.assertEqual([m.Unmarked(OP, 24, 0)], pair.a.take(m.Unmarked))
        self.assertEqual(single(manyFlows(), later), pair.finish())

    def test_commitAfterGiveBack(self) -> None:
        """COMMIT of what was discarded is refused, not confirmed."""
        pair = Pair().confirmed()
        pair.b.tell(m.Discard(OP, True), m.Commit(OP))
        self.assertEqual(Refusal.WRONG_STATE, pair.b.refusal())
        self.assertEqual([], pair.b.take(m.Committed))
