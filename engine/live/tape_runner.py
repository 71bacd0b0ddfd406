"""What a tape is played to: a paper runner without a clock, and who hears its effects."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from engine.domain.decisions import Decision, Planned
from engine.domain.effects import AnyEffect
from engine.domain.events import Event
from engine.errors import BrokenInvariant
from engine.runtime.journal import Recorder
from engine.venues.paper.runner import PaperShell
from storage.journal import NAMES, Digest

EFFECTS = frozenset(AnyEffect.__args__)
Decide = Callable[[Decision | Planned], None]


class EffectsHeard:
    """A recorder that passes everything on and keeps a digest of the effects alone.

    A live journal also holds what only a living engine has (commands, the engine's records, when a
    commit came back); what was decided is in its effects. The fence says which start it was.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._digest = Digest()
        self.effects = 0

    @property
    def tape(self) -> int:
        """Position on the tape."""
        return self._recorder.tape

    @tape.setter
    def tape(self, position: int) -> None:
        self._recorder.tape = position

    def append(self, account: str, message: msgspec.Struct, at_ns: int) -> int:
        """Keep a message; give its seq."""
        kind = type(message)
        if kind in EFFECTS:
            self.effects += 1
            self._digest.add([(NAMES[kind], at_ns, account, message)])
        return self._recorder.append(account, message, at_ns)

    def commit(self) -> Any:
        """Give a future of everything appended so far."""
        return self._recorder.commit()

    def flush(self) -> None:
        """Wait until everything appended so far is durable."""
        self._recorder.flush()

    def digest(self) -> str:
        """Return the digest of all records."""
        return self._recorder.digest()

    def effects_digest(self) -> str:
        """Return the digest of the effects."""
        return self._digest.text()

    def close(self) -> None:
        """Write what is left and stop."""
        self._recorder.close()


class TapeShell(PaperShell):
    """A paper account's runner that turns when its player says so, and never by itself."""

    def __init__(self, **wiring: Any) -> None:
        super().__init__(**wiring)
        self.restless = False
        """Something was reported since the last turn."""
        self.rest_ns = 0
        """When something but the venue is due."""
        self.stirred: Callable[[], object] = lambda: None
        """Called when something waits for the player."""

    def _turn_soon(self) -> None:
        self._woken = False
        self.restless = True
        self.stirred()

    def _arm(self) -> None:
        self.rest_ns = self._next_ns()

    def _arm_paper(self) -> None:
        """Do nothing: the player knows when the venue is due."""

    def _knocked(self) -> None:
        self.stirred()

    def tick(self) -> None:
        """Do nothing: time is the player's."""

    def market(self, events: Iterable[Event], now_ns: int) -> None:
        """Refuse: the player tells the market."""
        raise BrokenInvariant(f"a feed told {self.account} {len(tuple(events))} events at {now_ns}")

    @property
    def due_ns(self) -> int:
        """When something happens without a further event."""
        venue_ns = self.paper.due_ns
        return self.rest_ns if venue_ns is None or venue_ns > self.rest_ns else venue_ns

    @property
    def still(self) -> bool:
        """True where every request under way waits for the venue's time."""
        return self.sender.under_way == self.door.waiting

    @property
    def asks(self) -> bool:
        """True where something waits for the player."""
        return self.restless or not self.still or self.door.asks

    def fire(self, now_ns: int) -> None:
        """Let the sender's time-outs and the timers happen that are due."""
        self._fire(now_ns)

    def advance_sender(self, now_ns: int) -> None:
        """Let the gateway look at the clock where it is due."""
        due_ns = self.sender.due_ns
        if due_ns is not None and due_ns <= now_ns:
            self.sender.advance()


class DecisionsHeard:
    """Passes decisions on and keeps a digest of every one."""

    def __init__(self, decide: Decide) -> None:
        self._decide = decide
        self._hash = hashlib.blake2b(digest_size=32)
        self._encode = msgspec.msgpack.Encoder().encode
        self.count = 0

    def __call__(self, decision: Decision | Planned) -> None:
        """Take a decision; what the executor made of it is passed on alone."""
        if type(decision) is Decision:
            self.count += 1
            self._hash.update(self._encode(decision))
        self._decide(decision)

    def digest(self) -> str:
        """Return the digest of all decisions so far."""
        return self._hash.hexdigest()
