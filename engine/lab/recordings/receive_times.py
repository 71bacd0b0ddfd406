"""When a frame was received, where its recorder's clock can be believed.

A venue stamps most frames when it sends them. A receive time at most `APART_NS_MAX` from its stamp
is believed. One that leaps further, past its stamp and past what went before it, is held until such
a frame says what time it is: files are in the order of receipt, so a time that lies behind the next
proven one was damaged, and one that does not was a silence. A held frame yields nothing before
that, so nothing is known too early. A damaged time is an anomaly and moves no clock: the frame is
yielded at its stamp, or at the time of the frame before it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

from engine.errors import BadInput
from engine.lab.recordings.door import RecordingStats

APART_NS_MAX = 60 * 1_000_000_000
"""How far a receive time may be from the venue's stamp: queues, and two clocks that differ."""

HELD_MAX = 1_000
"""Frames held at most; the first is then judged by itself."""

TIME_NS_MAX = 1 << 62
"""146 years after the epoch: what is later is no time."""

AHEAD = -1
"""Stands for a stamp beyond its receipt: it is damaged, and would carry every clock along."""

LEAPS = "receive time leaps ahead"
FALLS = "receive time falls behind"


class Frame(NamedTuple):
    """One line as it was recorded. `line` None = it could not be read."""

    at: tuple[str, int]
    line: Any
    received_ns: int = 0
    stamp_ns: int = 0
    """When the venue made it; 0 = it does not say."""
    fresh: bool = True
    """False = its kind may be stamped long before it is sent, as a quiet market's book is."""


class ReceiveTimes:
    """Tells frames with a time each; the times never run backwards."""

    def __init__(self, stats: RecordingStats) -> None:
        self._stats = stats
        self._clock_ns = 0
        self._proven_ns = 0
        """The time of the last frame whose receipt is believed; 0 = none yet."""
        self._held: deque[Frame] = deque()

    def timed(self, frames: Iterator[Frame]) -> Iterator[tuple[Frame, int]]:
        """Yield each frame with its time; its stamp is `AHEAD` where it cannot be believed.

        What is held is yielded before a BadInput of the recording goes on.
        """
        held, torn = self._held, None
        try:
            for frame in frames:
                _, line, received_ns, stamp_ns, _ = frame
                if stamp_ns and -APART_NS_MAX <= received_ns - stamp_ns <= APART_NS_MAX:
                    proof_ns = max(stamp_ns, received_ns)
                    while held:
                        yield self._judged(held.popleft(), proof_ns)
                    self._clock_ns = max(self._clock_ns, proof_ns)
                    self._proven_ns = self._clock_ns
                    yield frame, self._clock_ns
                elif not held and (line is None or self._near(received_ns)):
                    yield self._taken(frame)
                else:
                    held.append(frame)
                    if len(held) > HELD_MAX:
                        yield self._judged(held.popleft(), None)
        except BadInput as error:
            torn = error
        while held:
            yield self._judged(held.popleft(), None)
        if torn is not None:
            raise torn

    def _near(self, at_ns: int) -> bool:
        return self._proven_ns > 0 and abs(at_ns - self._proven_ns) <= APART_NS_MAX

    def _judged(self, frame: Frame, proof_ns: int | None) -> tuple[Frame, int]:
        """Judge a frame that was held; `proof_ns` is the next time that is certain, if any is."""
        received_ns, stamp_ns = frame.received_ns, frame.stamp_ns
        if frame.line is None:
            return self._taken(frame._replace(received_ns=0))
        if proof_ns is None:
            timely = self._near(stamp_ns)
            good = self._near(received_ns) or (not frame.fresh and 0 <= received_ns <= TIME_NS_MAX)
        else:
            timely = 0 < stamp_ns <= proof_ns
            good = self._proven_ns - APART_NS_MAX <= received_ns <= proof_ns
        ahead = stamp_ns > received_ns + APART_NS_MAX
        if ahead and not timely:
            # Its stamp is the damaged one; with nothing proven yet, its receipt is all there is.
            first = proof_ns is None and not self._proven_ns and 0 <= received_ns <= TIME_NS_MAX
            return self._taken(frame if good or first else frame._replace(received_ns=0), AHEAD)
        if good and not ahead:
            self._proven_ns = max(self._proven_ns, received_ns)
            return self._taken(frame)
        self._stats.at = frame.at
        self._stats.anomaly(LEAPS if received_ns > (stamp_ns or self._proven_ns) else FALLS)
        stamped = timely or (proof_ns is None and 0 < stamp_ns < received_ns)
        return self._taken(frame._replace(received_ns=stamp_ns if stamped else 0))

    def _taken(self, frame: Frame, stamp_ns: int | None = None) -> tuple[Frame, int]:
        """Give a frame its time: that of its receipt, but never one before the last."""
        self._clock_ns = max(self._clock_ns, frame.received_ns)
        if stamp_ns is None and frame.stamp_ns > frame.received_ns + APART_NS_MAX:
            stamp_ns = AHEAD
        return (frame if stamp_ns is None else frame._replace(stamp_ns=stamp_ns)), self._clock_ns
