"""Series that roll, strikes and outcomes from the oracle, events that drift."""

from __future__ import annotations

from random import Random
from statistics import fmean

import msgspec
import pytest

from engine.domain.events import (
    Event,
    InstrumentClosed,
    InstrumentListed,
    InstrumentResolved,
    ReferencePriced,
    StrikeProven,
)
from engine.errors import BadInput, ConfigError
from engine.venues.demo.calendar import Calendar
from engine.venues.demo.exchange import DemoExchange
from engine.venues.demo.profiles import THIN, CrowdSpec, EventSpec, Profile
from engine.venues.demo.reference import ORACLE_KEY, REFERENCE_KEY
from tests.venues.demo.builders import START, S

EMPTY = CrowdSpec(makers=(), maker_rate=1.0, noise_rate=0.0, informed_rate=0.0)
QUIET = msgspec.structs.replace(THIN, crowd=EMPTY)
BEGIN = START - START % (300 * S) + 100 * S


def world(
    profile: Profile = QUIET, seed: int = 1, now_ns: int = BEGIN
) -> tuple[DemoExchange, Calendar]:
    made = DemoExchange(rng=Random(seed), now_ns=now_ns)
    calendar = Calendar(made, profile, Random(seed))
    made.join(calendar)
    calendar.begin()
    return made, calendar


def events_of(made: DemoExchange, seconds: float) -> list[tuple[float, Event]]:
    start_ns = made.now_ns
    made.advance(start_ns + round(seconds * S))
    return [((at_ns - start_ns) / S, event) for at_ns, event in made.take_public()]


def test_a_world_begins_with_the_running_market_and_the_next_two() -> None:
    made, _ = world()
    events = [event for _, event in made.take_public()]
    listed = [event.instrument for event in events if isinstance(event, InstrumentListed)]
    series = [instrument for instrument in listed if instrument.series]
    base = BEGIN // S - 100
    assert [instrument.id for instrument in series] == [
        f"demo:btc-updown-5m-{base}",
        f"demo:btc-updown-5m-{base + 300}",
        f"demo:btc-updown-5m-{base + 600}",
    ]
    assert series[0].starts_ns == BEGIN - 100 * S
    assert series[0].closes_ns == BEGIN + 200 * S
    strikes = [event for event in events if isinstance(event, StrikeProven)]
    assert [strike.instrument for strike in strikes] == [series[0].id]
    assert len(listed) == 5


def test_a_series_rolls_on_the_oracle() -> None:
    made, _ = world()
    made.take_public()
    base = BEGIN // S - 100
    first, second = f"demo:btc-updown-5m-{base}", f"demo:btc-updown-5m-{base + 300}"
    strike = made.listing.market(first).instrument.strike_e8
    assert strike is not None
    events = events_of(made, 210)
    rolled = [
        (at, type(event), getattr(event, "instrument", None))
        for at, event in events
        if not isinstance(event, ReferencePriced)
    ]
    assert (200.0, InstrumentClosed, first) in rolled
    assert (200.0, StrikeProven, second) in rolled
    assert (204.0, InstrumentResolved, first) in rolled
    listed = [event.instrument.id for _, event in events if isinstance(event, InstrumentListed)]
    assert listed == [f"demo:btc-updown-5m-{base + 900}"]
    oracle = {
        at: event.price_e8
        for at, event in events
        if isinstance(event, ReferencePriced) and event.key == ORACLE_KEY
    }
    (proven,) = (event for _, event in events if isinstance(event, StrikeProven))
    assert proven.strike_e8 == oracle[200.0]
    window = [oracle[float(second)] for second in range(171, 201)]
    mean = sum(window) // 30
    (resolved,) = (event for _, event in events if isinstance(event, InstrumentResolved))
    assert resolved.payout_yes_micro == (1_000_000 if mean >= strike else 0)
    assert resolved.source == f"{ORACLE_KEY} 30 s mean {mean}"


def test_the_oracle_prints_each_second_and_the_reference_each_step() -> None:
    made, _ = world()
    made.take_public()
    prints = [event for _, event in events_of(made, 10) if isinstance(event, ReferencePriced)]
    keys = [event.key for event in prints]
    assert keys.count(ORACLE_KEY) == 10
    assert keys.count(REFERENCE_KEY) == 20
    assert None not in {event.exchange_ns for event in prints}


@pytest.mark.long
def test_both_outcomes_happen_about_as_often_as_they_should() -> None:
    made, _ = world(seed=5)
    resolved = [
        event.payout_yes_micro
        for _, event in events_of(made, 40 * 300)
        if isinstance(event, InstrumentResolved) and "updown" in event.instrument
    ]
    assert len(resolved) == 40
    assert 0.3 < fmean(resolved) / 1e6 < 0.7


@pytest.mark.long
def test_an_events_probability_is_a_martingale_and_its_end_is_certain() -> None:
    spec = EventSpec(name="e", days=0.002, chance=0.3)
    profile = msgspec.structs.replace(QUIET, series=(), events=(spec,))
    outcomes = []
    for seed in range(120):
        made, calendar = world(profile, seed=seed)
        name = calendar.happenings[0].instrument
        made.advance(made.listing.market(name).instrument.closes_ns - 10 * S)
        near = calendar.chance(name, 0)
        assert near is not None
        made.advance(made.now_ns + 10 * S)
        (payout,) = (
            event.payout_yes_micro
            for _, event in made.take_public()
            if isinstance(event, InstrumentResolved)
        )
        outcomes.append(payout / 1e6)
        assert calendar.happenings[0].instrument == "demo:e-2"
    assert fmean(outcomes) == pytest.approx(0.3, abs=0.1)


def test_somebody_slow_sees_the_past() -> None:
    made, calendar = world()
    name = calendar.windows[0].instrument
    seen = []
    for _ in range(10):
        made.advance(made.now_ns + S // 2)
        seen.append(calendar.chance(name, 0))
    assert [calendar.chance(name, ago) for ago in range(10)] == seen[::-1]
    assert calendar.chance(type(name)("demo:none"), 0) is None


def test_somebody_who_averages_sees_the_mean_of_the_past() -> None:
    made, calendar = world()
    name = calendar.windows[0].instrument
    seen = []
    for _ in range(10):
        made.advance(made.now_ns + S // 2)
        seen.append(calendar.chance(name, 0))
    assert calendar.chance(name, 2, over=3) == pytest.approx(fmean(seen[5:8]))
    assert calendar.chance(name, 2, over=1) == seen[7]
    fresh = calendar.windows[-1].instrument
    assert calendar.chance(fresh, 2, over=3) == 0.5  # what it knows, where it knows less


def test_steps_must_fit() -> None:
    for changes in ({"step_ns": 300_000_000}, {"event_step_ns": 700_000_000}):
        with pytest.raises(ConfigError):
            world(msgspec.structs.replace(QUIET, **changes))


def test_an_unreadable_state_is_refused() -> None:
    _, calendar = world()
    with pytest.raises(BadInput):
        calendar.restore(b"\x00")
