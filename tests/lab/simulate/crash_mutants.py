"""Engines that end by a fault in a wrong way, each in one; a judge must say so."""

from __future__ import annotations

from typing import Any

from engine.bots.core import AccountCore
from engine.domain.inputs import OrdersStated
from engine.gateway.sender import Sender
from engine.lab.simulate.faults import Fault
from engine.live import lifecycle
from engine.live.venue_sweep import LISTINGS_NEEDED, VenueSweep
from engine.runtime.account_runner import AccountRunner
from tests.lab.simulate.mutants import Mutant, Patch

F = Fault


def _asks_once(patch: Patch) -> None:
    """Believe the first listing: what was on its way when that was made rests from then on."""

    async def run(self: Any, venue: Any) -> None:
        await self._once(venue)
        self.listings = LISTINGS_NEEDED

    patch.setattr(VenueSweep, "run", run)


def _a_silent_venue_is_clean(patch: Patch) -> None:
    """Drop what a venue did not answer in time, without a word."""
    missing = VenueSweep.missing
    patch.setattr(VenueSweep, "missing", lambda self: missing(self) if self.left else [])


def _cancels_nothing(patch: Patch) -> None:
    """Look at venues, and leave open what rests there."""

    async def nothing(self: Any, venue: Any) -> None:
        self.listings = LISTINGS_NEEDED
        self.left = 0

    patch.setattr(VenueSweep, "run", nothing)


def _goes_on_trading(patch: Patch) -> None:
    """Cut no request and let every account turn."""

    async def nothing(*_: Any) -> None:
        return None

    patch.setattr(AccountRunner, "close", nothing)


def _what_waits_leaves(patch: Patch) -> None:
    """Cut what is under way, and let leave what waited behind it."""
    close = Sender.close

    async def cut(self: Any) -> None:
        await close(self)
        self._closed = False

    patch.setattr(Sender, "close", cut)


def _the_end_is_not_journaled(patch: Patch) -> None:
    """Have reports behind the last turn move orders, and journal nothing of that."""
    receive = AccountCore.receive

    def given(self: Any, one: Any, now_ns: int) -> Any:
        return [] if type(one) is OrdersStated else receive(self, one, now_ns)

    patch.setattr(AccountCore, "receive", given)


def _the_sweep_is_cut_short(patch: Patch) -> None:
    """End after half a second with what was found by then, and say nothing of it."""
    patch.setattr(lifecycle, "CRASH_S", 0.5)
    patch.setattr(VenueSweep, "missing", lambda _: [])


MISTAKEN = (F.ENGINE_MISTAKE,)
MUTANTS = (
    Mutant("an end by a fault asks once", _asks_once, MISTAKEN, 12, 2.0),
    Mutant(
        "an end by a fault takes a silent venue for a clean one",
        _a_silent_venue_is_clean,
        (F.ENGINE_MISTAKE, F.LISTING_OUTAGE, F.LOST_BEFORE, F.BROKEN),
        6,
        2.0,
    ),
    Mutant("an end by a fault cancels nothing", _cancels_nothing, MISTAKEN, 6, 2.0),
    Mutant("an end by a fault trades on", _goes_on_trading, MISTAKEN, 6, 2.0),
    Mutant("what waits leaves a closed account", _what_waits_leaves, MISTAKEN, 12, 2.0),
    Mutant("an end is not journaled", _the_end_is_not_journaled, MISTAKEN, 6, 2.0),
    Mutant("an end by a fault is cut short", _the_sweep_is_cut_short, MISTAKEN, 6, 2.0),
)
