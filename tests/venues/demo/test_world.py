"""The furnished world: determinism, survival, calibration, and who pays whom."""

from __future__ import annotations

import hashlib
from collections import Counter
from random import Random
from statistics import fmean, median, pstdev

import msgspec
import pytest

from engine.domain.events import BookChanged, Event, InstrumentResolved, TradePrinted, VenueMode
from engine.domain.instruments import AccountId, Leg
from engine.errors import BadInput
from engine.venues.demo.clearing import SettlementRules
from engine.venues.demo.exchange import DemoExchange
from engine.venues.demo.orders import Filled
from engine.venues.demo.profiles import FULL, THIN, Profile
from engine.venues.demo.snapshot import encode_state
from engine.venues.demo.world import open_world, reopen_world
from tests.venues.demo.builders import START, USD, S, buy_no, buy_yes, sound
from tests.venues.demo.judges import BookJudge

ROUGH = SettlementRules(retry_ppm=50_000, fail_ppm=50_000)
NAIVE = AccountId("naive")
CROWD = ("demo-maker-tight", "demo-maker-wide", "demo-noise", "demo-informed")


def world(profile: Profile = THIN, seed: int = 11) -> DemoExchange:
    made = open_world(profile, rng=Random(seed), now_ns=START, settlement=ROUGH)
    made.open_account(NAIVE, 100_000 * USD)
    return made


def act(made: DemoExchange, turn: int) -> None:
    """Quote the touch of the running market, as a customer who knows nothing would."""
    made.cancel_all(NAIVE, made.now_ns)
    for market in made.order_entry.markets.values():
        bid, ask = market.book.best_bid, market.book.best_ask
        closes_ns = market.instrument.closes_ns or 0
        if not (market.accepting and market.proof and closes_ns > made.now_ns + 20 * S):
            continue
        common = {"instrument": market.instrument.id, "post_only": True}
        if bid is not None:
            made.submit(NAIVE, buy_yes(f"b{turn}", bid / 100, 50, **common), made.now_ns)
        if ask is not None:
            made.submit(NAIVE, buy_no(f"a{turn}", 100 - ask / 100, 50, **common), made.now_ns)


def digest(made: DemoExchange, turns: range) -> str:
    """Run with a customer and hash everything that was said."""
    hashed = hashlib.sha256()
    for turn in turns:
        made.advance(made.now_ns + 2 * S)
        act(made, turn)
        hashed.update(msgspec.msgpack.encode([made.take_public(), made.take(NAIVE)]))
    return hashed.hexdigest()


def test_the_same_seed_and_inputs_say_the_same_bytes() -> None:
    first, second, other = world(), world(), world(seed=12)
    assert digest(first, range(200)) == digest(second, range(200)) != digest(other, range(200))
    assert encode_state(first) == encode_state(second)


def test_a_reopened_world_goes_on_byte_for_byte() -> None:
    made = world()
    digest(made, range(100))
    state = encode_state(made)
    again = reopen_world(THIN, state, settlement=ROUGH)
    assert encode_state(again) == state
    assert digest(made, range(100, 250)) == digest(again, range(100, 250))
    assert encode_state(made) == encode_state(again)


def test_a_world_of_other_actors_is_refused() -> None:
    made = DemoExchange(rng=Random(1), now_ns=START)
    with pytest.raises(BadInput):
        reopen_world(THIN, encode_state(made))


def test_customers_do_not_move_the_reference_price() -> None:
    first, second = world(), world()
    digest(first, range(60))
    for _ in range(60):
        second.advance(second.now_ns + 2 * S)
    calendars = [made.actors["calendar"] for made in (first, second)]
    assert calendars[0].state() == calendars[1].state()


@pytest.mark.long
def test_judges_agree_over_forty_minutes_of_failing_settlements() -> None:
    made = world(seed=3)
    books = BookJudge()
    for turn in range(480):
        made.advance(made.now_ns + 5 * S)
        act(made, turn)
        books.receive(made.take_public())
        made.take(NAIVE)
        if turn % 30 == 0:
            books.compare(made)
            sound(made)
    sound(made)
    assert len(books.payouts) == 7
    assert len(made.order_entry.markets) <= 5 + 8
    assert len(made.timeline.timers) < 200


def test_a_closed_venue_silences_the_crowd_and_it_comes_back() -> None:
    made = world()
    made.guard.plan_restart(made.now_ns + S, down_ns=20 * S, post_only_ns=20 * S, drop_orders=True)
    made.advance(made.now_ns + 10 * S)
    assert made.order_entry.orders == {}
    assert made.guard.mode is VenueMode.RESTARTING
    made.advance(made.now_ns + 200 * S)
    assert len(made.order_entry.orders) > 5
    sound(made)


class Watch:
    """Samples the running market once a second from the public stream."""

    def __init__(self, made: DemoExchange) -> None:
        self.made = made
        self.judge = BookJudge()
        self.spreads: Counter[int] = Counter()
        self.touch: list[float] = []
        self.moves: list[float] = []
        self.kinds: Counter[type[Event]] = Counter()
        self.seconds = 0
        self._mid: tuple[str, float] | None = None

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            self.made.advance(self.made.now_ns + S)
            events = self.made.take_public()
            self.judge.receive(events)
            (running,) = [
                name
                for name, market in self.made.order_entry.markets.items()
                if market.accepting and market.proof
            ]
            self.kinds.update(
                type(event) for _, event in events if getattr(event, "instrument", "") == running
            )
            self.seconds += 1
            self._sample(running)

    def _sample(self, running: str) -> None:
        bids, asks = self.judge.books[running]
        if not bids or not asks:
            self._mid = None
            return
        bid, ask = max(bids), min(asks)
        self.spreads[(ask - bid) // 100] += 1
        self.touch += (bids[bid] / 1e6, asks[ask] / 1e6)
        mid = (bid + ask) / 20_000
        if self._mid is not None and self._mid[0] == running:
            self.moves.append(mid - self._mid[1])
        self._mid = (running, mid)

    @property
    def narrow(self) -> float:
        return self.spreads[1] / self.spreads.total()

    def rate(self, kind: type[Event]) -> float:
        return self.kinds[kind] / self.seconds


@pytest.mark.long
def test_the_full_profile_looks_like_a_recorded_book() -> None:
    """Coarsely; `studies.calibration` compares figure by figure."""
    watch = Watch(open_world(FULL, rng=Random(5), now_ns=START))
    watch.run(900)
    assert 0.70 < watch.narrow < 0.95
    assert 150 < median(watch.touch) < 450
    assert 0.012 < pstdev(watch.moves) < 0.035
    assert 7 < watch.rate(TradePrinted) < 16
    assert watch.rate(BookChanged) < 40


def test_the_thin_profile_is_thin() -> None:
    made = open_world(THIN, rng=Random(5), now_ns=START)
    watch = Watch(made)
    published = made.outbox.published
    watch.run(1_800)
    assert 0.65 < watch.narrow < 0.90
    assert 0.010 < pstdev(watch.moves) < 0.040
    prints = 3 * 1_800  # the oracle and the reference say three things a second
    assert (made.outbox.published - published - prints) / 1_800 < 5


@pytest.mark.long
def test_a_naive_makers_markouts_are_negative() -> None:
    """Who rests at the touch without a view is filled when the touch is wrong."""
    markouts: list[float] = []
    for seed in (1, 2):
        made = world(seed=seed)
        made.outbox.publishing = False
        waiting: list[tuple[int, Filled]] = []
        for turn in range(600):
            made.advance(made.now_ns + 2 * S)
            waiting += [
                (made.now_ns + 10 * S, report)
                for _, report in made.take(NAIVE)
                if isinstance(report, Filled)
            ]
            while waiting and waiting[0][0] <= made.now_ns:
                _, fill = waiting.pop(0)
                book = made.listing.market(fill.instrument).book
                if book.best_bid is None or book.best_ask is None:
                    continue
                mid = (book.best_bid + book.best_ask) / 2
                worth = mid if fill.leg is Leg.YES else 10_000 - mid
                markouts.append((worth - fill.price) / 100)
            act(made, turn)
        sound(made)
    assert len(markouts) > 200
    error = pstdev(markouts) / len(markouts) ** 0.5
    assert fmean(markouts) + 3 * error < 0


def test_the_crowds_wallets_are_refilled_and_money_is_conserved() -> None:
    crowd = msgspec.structs.replace(THIN.crowd, cash_micro=5_000 * USD)
    made = open_world(
        msgspec.structs.replace(THIN, crowd=crowd), rng=Random(9), now_ns=START, settlement=ROUGH
    )
    opened = made.invariants().deposits
    made.outbox.publishing = False
    for _ in range(40):
        made.advance(made.now_ns + 60 * S)
        sound(made)
    assert made.invariants().deposits > opened
    for name in CROWD:
        assert made.wallet(AccountId(name)).cash > 0


@pytest.mark.long
def test_every_market_that_closed_is_resolved_and_paid() -> None:
    made = world(seed=8)
    made.advance(made.now_ns + 1_510 * S)
    resolved = {
        event.instrument: event
        for _, event in made.take_public()
        if isinstance(event, InstrumentResolved)
    }
    assert len(resolved) == 5
    made.advance(made.now_ns + 30 * S)
    sums = made.invariants()
    assert all(made.order_entry.ledger.collateral.get(name, 0) == 0 for name in resolved)
    assert all(name not in sums.sets for name in resolved)
