"""A market batch wakes all accounts; one turns in a step of the loop. Counted, not timed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from engine.bots.core import AccountCore
from engine.caches.markets import MarketCache
from engine.domain import events as ev
from engine.domain.instruments import AccountId, Mode
from engine.domain.settings import AccountSettings, GatewaySettings
from engine.gateway.core import GatewayCore
from engine.runtime.account_runner import AccountRunner, Meter, Turns
from engine.runtime.journal import DigestRecorder
from engine.runtime.recovery import executor_of
from engine.venues.demo import wire
from engine.venues.demo.streams import GIVEN_AT_ONCE, MarketStream
from tests.clocks import ManualClock
from tests.fakes.polymarket.listing import Listed, identify, instrument_of

ACCOUNTS = 50
NOW = 10**18
ONE = instrument_of(identify(Listed(slug="one"), 1, 1))
BOOK = ev.BookReplaced(
    instrument=ONE.id, bids=((4_800, 10**7),), asks=((5_200, 10**7),), exchange_ns=None
)
BATCH = (ev.InstrumentListed(instrument=ONE), BOOK)


class Steps:
    """Counts what happens in each step of the loop."""

    def __init__(self) -> None:
        self.turns: Counter[int] = Counter()
        self._step = 0

    def turned(self) -> None:
        self.turns[self._step] += 1

    async def run(self, count: int) -> None:
        for _ in range(count):
            self._step += 1
            await asyncio.sleep(0)


def runner_of(number: int, turns: Turns, steps: Steps) -> AccountRunner:
    account = AccountId(f"demo-{number}")
    executor, _ = executor_of(AccountSettings(name=account, venue="demo", mode=Mode.DEMO), 1)
    executor.plan(NOW)
    executor._blocks.recovering = False  # the venue was asked
    venue: Any = SimpleNamespace(prepare=None)
    runner = AccountRunner(
        core=AccountCore(
            cache=MarketCache(), executor=executor, bots=(), decide=lambda _: None, sliced=True
        ),
        gateway=GatewayCore(account=account, settings=GatewaySettings()),
        venue=venue,
        recorder=DigestRecorder(),
        clock=ManualClock(NOW),
        meter=Meter(),
        alert=lambda *_: None,
        crash=lambda _: None,
        turns=turns,
    )
    turn = runner.core.turn

    def counted(now_ns: int) -> Any:
        if not counted.within:  # type: ignore[attr-defined]
            steps.turned()
        counted.within = True  # type: ignore[attr-defined]
        asyncio.get_running_loop().call_soon(setattr, counted, "within", False)
        return turn(now_ns)

    counted.within = False  # type: ignore[attr-defined]
    runner.core.turn = counted  # type: ignore[method-assign]
    return runner


@pytest.fixture
async def desk() -> AsyncIterator[tuple[list[AccountRunner], Steps]]:
    steps, turns = Steps(), Turns()
    runners = [runner_of(number, turns, steps) for number in range(ACCOUNTS)]
    yield runners, steps
    for runner in runners:
        await runner.close()


async def test_one_account_turns_in_a_step_whatever_wakes_all(
    desk: tuple[list[AccountRunner], Steps],
) -> None:
    runners, steps = desk
    for runner in runners:
        runner.market(BATCH, NOW)
    assert all(ONE.id in runner.core.cache.views for runner in runners)  # they know it at once
    await steps.run(2 * ACCOUNTS)
    assert max(steps.turns.values()) == 1
    assert sum(steps.turns.values()) == ACCOUNTS


async def test_what_comes_while_an_account_waits_is_in_its_one_turn(
    desk: tuple[list[AccountRunner], Steps],
) -> None:
    runners, steps = desk
    for _ in range(5):
        for runner in runners:
            runner.market(BATCH, NOW)
    await steps.run(2 * ACCOUNTS)
    assert sum(steps.turns.values()) <= ACCOUNTS + 1  # the first one turned before the others came


async def test_an_account_that_closed_turns_no_more(
    desk: tuple[list[AccountRunner], Steps],
) -> None:
    runners, steps = desk
    for runner in runners:
        runner.market(BATCH, NOW)
    await runners[1].close()
    await steps.run(2 * ACCOUNTS)
    assert sum(steps.turns.values()) == ACCOUNTS - 1


async def test_a_desk_of_one_account_turns_at_once() -> None:
    steps = Steps()
    runner = runner_of(1, Turns(), steps)
    for _ in range(3):
        runner.market(BATCH, NOW)
        await asyncio.sleep(0)
    assert sum(steps.turns.values()) == 3
    await runner.close()


async def test_a_frame_of_many_markets_is_given_out_in_steps() -> None:
    """The demo exchange tells all markets in one frame, and a new connection the markets."""
    given: list[int] = []
    listener = SimpleNamespace(market=lambda events, _: given.append(len(events)))
    services: Any = SimpleNamespace(
        clock=ManualClock(NOW),
        meter=Meter(),
        ticks=None,
        journal=lambda *_: None,
    )
    stream = MarketStream(services, lambda: [listener] * ACCOUNTS)
    frame = wire.MarketFrame(at_ns=NOW, events=tuple([BOOK] * 100))
    steps = 0

    async def count() -> None:
        nonlocal steps
        while True:
            steps += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(count())
    await stream._take(wire.pack(frame))
    task.cancel()
    assert sum(given) == ACCOUNTS * 101  # the feed's return among them
    assert max(given) * ACCOUNTS <= GIVEN_AT_ONCE
    assert steps >= 101 * ACCOUNTS // GIVEN_AT_ONCE - 1
