"""Sight: every reason not to trade (law M), of the account and of one instrument.

It only remembers and answers. What rests while blind is cancelled by the planning; where the venue
is restarting or disabled a cancel cannot work, so nothing is asked of it until it lifts.
"""

from __future__ import annotations

import msgspec

from engine.domain.events import ModeChanged, VenueMode
from engine.domain.instruments import BotId, InstrumentId
from engine.domain.intents import ResidualReason
from engine.domain.modes import ModeBelief
from engine.executor.table import InstrumentState
from engine.risk.breakers import Breakers

_BLIND = ResidualReason.BLIND
_RISK = ResidualReason.RISK
_CLOSED = ResidualReason.MARKET_CLOSED
_TAKES = frozenset({VenueMode.OPEN, VenueMode.POST_ONLY})
_DEAF = frozenset({VenueMode.RESTARTING, VenueMode.DISABLED})


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the account in which nothing is placed until a person releases it."""

    bot: BotId | None
    instrument: InstrumentId | None
    """Neither = the whole account."""
    who: str
    reason: str
    at_ns: int

    @property
    def place(self) -> tuple[BotId | None, InstrumentId | None]:
        """What it covers."""
        return self.bot, self.instrument

    def __str__(self) -> str:
        """Name what it covers, for people."""
        if self.instrument is not None:
            return f"instrument {self.instrument}"
        return "the account" if self.bot is None else f"bot {self.bot}"


class SightState(msgspec.Struct, kw_only=True):
    """What must survive a restart."""

    halted: str = ""
    """Why everything was stopped; empty = it was not."""
    contradictions: list[str] = []
    """What the venue said that cannot be true; cleared when a person releases the latch."""
    holds: list[Hold] = []
    """Scoped KILLs that nobody has released yet."""


class Sight:
    """All reasons of one account."""

    __slots__ = ("_belief", "_breakers", "_closed", "recovering", "state", "unhealthy")

    def __init__(self, breakers: Breakers, *, recovering: bool) -> None:
        self._breakers = breakers
        self.state = SightState()
        self.unhealthy: dict[str, str] = {}
        """Reason by source, for example `user_feed`."""
        self._belief = ModeBelief()
        self._closed = False
        self.recovering = recovering
        """True until a complete listing has been believed (law N)."""

    def account_block(self) -> ResidualReason | None:
        """Return why the account places nothing at all; None = it may."""
        if self.recovering or self.unhealthy or self.state.contradictions:
            return _BLIND
        if self._breakers.latched or self._breakers.stopped is not None or self.state.halted:
            return _RISK
        if self.state.holds and (None, None) in {hold.place for hold in self.state.holds}:
            return _RISK
        if self._closed:
            return _CLOSED
        return None

    def held_by(self, bot: BotId | None, instrument: InstrumentId) -> Hold | None:
        """Return the scoped KILL that keeps a bot from placing in an instrument; None = none."""
        for hold in self.state.holds:
            if hold.instrument == instrument or (
                hold.instrument is None and hold.bot in (None, bot)
            ):
                return hold
        return None

    @property
    def reasons(self) -> tuple[str, ...]:
        """Every reason in words, for people."""
        found = ["reconciliation pending"] if self.recovering else []
        found += [f"{source}: {why}" for source, why in self.unhealthy.items()]
        found += self.state.contradictions
        if self._breakers.latched:
            found.append(f"KILL latch: {self._breakers.latch_reason}")
        if self._breakers.stopped is not None:
            found.append(f"risk stop: {self._breakers.stopped}")
        if self.state.halted:
            found.append(f"stopped: {self.state.halted}")
        found += [f"KILL of {hold} by {hold.who}: {hold.reason}" for hold in self.state.holds]
        if self.mode is not VenueMode.OPEN:
            found.append(f"venue is {self.mode}")
        return tuple(found)

    @property
    def mode(self) -> VenueMode:
        """What the venue takes, as far as we know."""
        return self._belief.mode

    @property
    def cancels_work(self) -> bool:
        """False while the venue takes nothing, cancels included."""
        return self.mode not in _DEAF

    @property
    def rests_only(self) -> bool:
        """True while the venue takes only post-only orders."""
        return self.mode is VenueMode.POST_ONLY

    def take_mode(self, told: ModeChanged, now_ns: int) -> None:
        """Obey what the venue takes."""
        self._belief.take(told, now_ns)
        self._closed = told.mode not in _TAKES

    def age_mode(self, now_ns: int) -> bool:
        """Let a closed mode age that was not heard again; True = more may be tried now."""
        aged = self._belief.age(now_ns)
        self._closed = self._belief.mode not in _TAKES
        return aged

    def post_block(
        self, post: InstrumentState, now_ns: int, data_age_ns_max: int
    ) -> ResidualReason | None:
        """Return why nothing is placed in one instrument; None = it may be."""
        mark = post.mark
        if self.state.holds and self.held_by(post.bot, post.instrument.id) is not None:
            return _RISK
        if post.closed or (mark is not None and mark.closed):
            return _CLOSED
        if mark is None or not mark.trusted or mark.proof_ns is None:
            return _BLIND
        if now_ns - mark.proof_ns > data_age_ns_max:
            return _BLIND
        return None
