"""A newcomer's first half hour: the demo bots at the whole demo exchange, in simulated time."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from engine.bots.bot import Bot
from engine.domain.events import BookProven, BookReplaced, Event, InstrumentClosed
from engine.domain.instruments import AccountId, BotId, InstrumentId, Mode
from engine.domain.money import MICRO
from engine.domain.settings import SettingsDocument
from engine.runtime.first_settings import ACCOUNT, DOCUMENT, PAIR
from engine.strategies.registry import build
from engine.venues.demo.profiles import FULL
from engine.venues.demo.world import open_world
from studies.compare.day import BEGIN_NS, ExchangeVenue
from studies.compare.engine_run import CASH_MICRO, CURRENCY, CompareRun
from tests.venues.demo.builders import S

LATENCY_NS = 20_000_000
MINUTES = 30


def demo_bots(account: AccountId) -> list[Bot]:
    return [
        Bot(
            name=BotId(one.name),
            account=account,
            strategy=build(one.strategy, one.parameters, BotId(one.name)),
            capital_micro=round(one.capital * MICRO),
            instruments=frozenset(map(InstrumentId, one.instruments)),
            series=frozenset(one.series),
        )
        for one in SettingsDocument.model_validate(DOCUMENT).bots.values()
    ]


def first_half_hour(seed: int) -> tuple[CompareRun, list[float]]:
    """Return the account after half an hour, and its equity at each minute's end."""
    exchange = open_world(FULL, rng=Random(seed), now_ns=BEGIN_NS)
    account = AccountId(ACCOUNT)
    exchange.open_account(account, CASH_MICRO)
    venue = ExchangeVenue(exchange, account, currency=CURRENCY, latency_ns=LATENCY_NS)
    run = CompareRun(venue, Mode.DEMO, demo_bots(account))
    books: dict[InstrumentId, None] = {}

    def feed(event: Event, at_ns: int) -> None:
        if isinstance(event, BookReplaced):
            books[event.instrument] = None
        elif isinstance(event, InstrumentClosed):
            books.pop(event.instrument, None)
        run.feed(event, at_ns)

    run.begin(BEGIN_NS)
    exchange.take_public()
    for event in exchange.opening():
        feed(event, BEGIN_NS)
    equity = []
    for second in range(1, MINUTES * 60 + 1):
        end_ns = BEGIN_NS + second * S
        while exchange.now_ns < end_ns:
            at_ns = min(exchange.due_ns or end_ns, run.driver.due_ns, end_ns)
            exchange.advance(at_ns)
            for event_ns, event in exchange.take_public():
                feed(event, event_ns)
            venue.collect()
            run.driver.run_until(at_ns)
        for name in list(books):
            feed(BookProven(instrument=name), end_ns)
        if not second % 60:
            equity.append(run.equity_micro(end_ns) / MICRO)
    return run, equity


@pytest.mark.long
def test_the_first_half_hour_has_fills_gains_and_losses() -> None:
    run, equity = first_half_hour(seed=1)
    changes = [after - before for before, after in pairwise(equity)]
    filled = run.marks[1]
    assert min(changes) < -0.1
    assert max(changes) > 0.1
    assert sum(count for name, (_, count) in filled.items() if "updown" in name) >= 10
    assert sum(count for name, (_, count) in filled.items() if "updown" not in name) >= 50
    assert run.fees_micro(InstrumentId(PAIR), BotId("demo-rule")) > 0
