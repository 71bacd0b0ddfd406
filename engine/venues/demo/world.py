"""A furnished demo exchange: markets that roll, events that drift, and a crowd that trades."""

from __future__ import annotations

from random import Random

from engine.venues.demo.agents import Crowd
from engine.venues.demo.calendar import Calendar
from engine.venues.demo.exchange import DemoExchange
from engine.venues.demo.profiles import Profile
from engine.venues.demo.refusals import Rules
from engine.venues.demo.settlement import SettlementRules
from engine.venues.demo.snapshot import thaw


def open_world(
    profile: Profile,
    *,
    rng: Random,
    now_ns: int,
    rules: Rules | None = None,
    settlement: SettlementRules | None = None,
) -> DemoExchange:
    """Return an exchange with everything in `profile` under way."""
    exchange, calendar, crowd = _furnish(
        profile, rng=rng, now_ns=now_ns, rules=rules, settlement=settlement
    )
    calendar.begin()
    crowd.begin()
    return exchange


def reopen_world(
    profile: Profile,
    state: bytes,
    *,
    rules: Rules | None = None,
    settlement: SettlementRules | None = None,
) -> DemoExchange:
    """Return the exchange that `snapshot.freeze` saw. Raises BadInput where it cannot be read.

    Profile and rules are the host's configuration and must be those it was opened with.
    """
    unused = Random(0)  # noqa: S311 - every generator is put back where it was
    exchange, _, _ = _furnish(profile, rng=unused, now_ns=0, rules=rules, settlement=settlement)
    thaw(exchange, state)
    return exchange


def _furnish(
    profile: Profile,
    *,
    rng: Random,
    now_ns: int,
    rules: Rules | None,
    settlement: SettlementRules | None,
) -> tuple[DemoExchange, Calendar, Crowd]:
    # Each part has a generator of its own: what customers do never changes the reference price.
    price_rng = Random(rng.getrandbits(64))  # noqa: S311 - a model, not a secret
    crowd_rng = Random(rng.getrandbits(64))  # noqa: S311 - a model, not a secret
    exchange = DemoExchange(rng=rng, now_ns=now_ns, rules=rules, settlement=settlement)
    calendar = Calendar(exchange, profile, price_rng)
    crowd = Crowd(exchange, calendar, profile.crowd, crowd_rng)
    exchange.join(calendar)
    exchange.join(crowd)
    return exchange, calendar, crowd
