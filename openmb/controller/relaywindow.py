"""
The credit window of one stream, as the relay between its two ends keeps count of it, and what of the stream is left out
for now since too much waits for the receiver already.  No clock, no socket.
"""

from __future__ import annotations

import heapq

from openmb.errors import OperationError, Refusal
from openmb.wire.framing import BODY_LIMIT

#: For how many requests to resume at a time frames may still come again.
RESUMES = 8
#: Bytes that may wait for one middlebox, of all streams to it together, before no more frames are relayed to it: half
#: of what ends its session (C{openmb.southbound.pressure}).
SHARED = 32 << 20


class RelayWindow:
    """
    What was relayed and is not acknowledged yet.

    Credit passes the relay before it reaches the sender, so a sender that obeys its window never has more than that on
    the way from here; a frame that is larger than the window travels alone.

    @param window: bytes that may be unacknowledged, as both ends were told.
    @param recovered: the controller was restarted: credit may come for frames that an earlier one has relayed.
    @ivar held: bytes that were relayed and not acknowledged.
    @ivar missing: number of the first frame that was left out; None: none was.
    """

    def __init__(self, window: int, recovered: bool = False) -> None:
        self._window = window
        self._sizes: dict[int, int] = {}
        self._numbers: list[int] = []  # a heap: after a lost connection frames come with gaps, which are filled later
        self._credited = self._highest = -1
        self._recovered = recovered
        self._again = 0  # bytes that may come again
        self._leftOut = 0  # bytes, since that was asked for last
        self._asked = False
        self.held = 0
        self.missing: int | None = None

    def leavesOut(self, number: int, size: int, piled: int) -> bool:
        """
        Is a frame not to be relayed now, but to be asked for later?  Then all that follow it are left out as well.

        @param piled: bytes that wait for the receiver, of all streams together.
        @raise OperationError: C{BAD_REQUEST}, more came meanwhile than a sender has that obeys its window.
        """
        isFull = piled > SHARED
        if self.missing is None:
            if not isFull:
                return False
            self.missing, self._asked, self._leftOut = number, False, 0
        elif number <= self.missing:  # it comes again
            if not isFull:
                self.missing = None if number == self.missing else self.missing
                return False
            self.missing, self._asked = number, False
        self._leftOut += size
        if self._leftOut > 2 * max(self._window, BODY_LIMIT):  # those on their way, and again when they were asked for
            raise OperationError(Refusal.BAD_REQUEST, f"{self._leftOut} bytes that nobody has asked for again")
        return True

    def askAgain(self) -> int | None:
        """What was left out can be relayed now: the frame after which it is to be sent again; None: nothing is."""
        if self.missing is None or self._asked:
            return None
        self._asked, self._leftOut = True, 0
        if self.missing <= self._highest:
            self._allowAgain()
        return self.missing - 1

    def sent(self, number: int, size: int) -> None:
        """
        A frame of C{size} bytes is to be relayed.

        @raise OperationError: C{BAD_REQUEST}, nobody has given credit for it, or asked for it once more.
        """
        if number in self._sizes or number <= self._credited:
            if size > self._again:
                raise OperationError(Refusal.BAD_REQUEST, f"frame {number} came again and nobody had asked for it")
            self._again -= size
            return
        if self._sizes and self.held + size > self._window:
            beyond = f"{self.held + size} bytes without credit, the window has {self._window}"
            raise OperationError(Refusal.BAD_REQUEST, f"frame {number} makes {beyond}")
        self._sizes[number] = size
        heapq.heappush(self._numbers, number)
        self.held += size
        self._highest = max(self._highest, number)

    def credited(self, number: int) -> None:
        """
        Everything up to C{number} is acknowledged.

        @raise OperationError: C{BAD_REQUEST}, that was never sent.
        """
        if number > self._highest and not self._recovered:
            raise OperationError(Refusal.BAD_REQUEST, f"credit for frame {number}, the last one was {self._highest}")
        self._credited = max(self._credited, number)
        while self._numbers and self._numbers[0] <= number:
            self.held -= self._sizes.pop(heapq.heappop(self._numbers))

    def resumed(self) -> None:
        """The sender is asked to send again what the other end may not have."""
        self.missing = None
        self._allowAgain()

    def _allowAgain(self) -> None:
        once = max(self._window, BODY_LIMIT)
        self._again = min(self._again + once, RESUMES * once)
