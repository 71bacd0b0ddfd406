"""The parts of a live account at Polymarket in one loop with the venue's fake."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.bots.core import AccountCore
from engine.caches.markets import MarketCache
from engine.config import Config, load
from engine.domain.commands import PlaceManual
from engine.domain.events import BookReplaced, CashKind, InstrumentListed, LatchSet
from engine.domain.instruments import AccountId, Instrument, Leg, Mode, Side
from engine.domain.settings import AccountSettings
from engine.executor.manual import ManualRefused
from engine.runtime.credentials import Credential, Keys, LockedKey
from engine.runtime.recovery import executor_of
from engine.runtime.venue_plugin import AccountOpening
from engine.venues.polymarket.account import heartbeat
from engine.venues.polymarket.account import link as upkeep
from engine.venues.polymarket.account.link import PolymarketRunner
from engine.venues.polymarket.plugin import LIVE, PLUGIN
from engine.venues.registry import url_keys
from storage.live_accounts import Unlock
from tests.fakes.polymarket.listing import instrument_of
from tests.fakes.polymarket.server import Served, serving
from tests.venues.polymarket.adapter import adapter, credentials
from tests.venues.polymarket.kit import RAIN, Trader, by_slug, quick, signer, wallet
from tests.venues.services import AccountServices

NAME = "real"
S = 10**9
SHARE = 1_000_000


class Account:
    """A live account and everything around it."""

    def __init__(self, engine: AccountServices, served: Served, runner: PolymarketRunner) -> None:
        self.engine, self.served, self.runner = engine, served, runner

    @property
    def reasons(self) -> str:
        return "; ".join(self.runner.core.executor.reasons)

    async def until(self, true: Callable[[], object], what: str) -> None:
        end = time.monotonic() + 40
        while not true():
            assert self.engine.crashes == []
            assert time.monotonic() < end, f"{what}: {self.reasons} {self.engine.alerts}"
            self.runner.tick()
            await asyncio.sleep(0.01)

    def alerted(self, kind: str) -> bool:
        return any(alert.kind == kind for alert in self.engine.alerts)

    def asked(self, path: str) -> int:
        return sum(path == row.get("path") for row in self.served.venue.journal)


def config_of(served: Served, home: Path) -> Config:
    urls = dict.fromkeys(("CLOB", "GAMMA", "DATA", "RELAYER"), served.url) | {"WS": served.ws}
    given = {f"PITBOSS_POLYMARKET_{name}_URL": url for name, url in urls.items()}
    return load(given | {"PITBOSS_HOME": str(home)}, venues=url_keys)


def keys_of(*, locked: bool = False) -> Keys:
    """The account's key, at hand or in a vault that is locked."""
    kept = Unlock(
        account=NAME, wallet=wallet(signer(1), 0).lower(), doctor_ns=1, phrase_ns=1, who="t"
    )
    given = credentials()
    if locked:
        there = {NAME: LockedKey("polymarket", given.wallet)}
        return Keys("polymarket", LIVE.credential_fields, locked=there, unlocks={NAME: kept})
    found = Credential("polymarket", given.wallet, {"private_key": given.private_key()})
    return Keys("polymarket", LIVE.credential_fields, found={NAME: found}, unlocks={NAME: kept})


@contextlib.asynccontextmanager
async def begun(served: Served, folder: Path, keys: Keys) -> AsyncIterator[Account]:
    """An account that has begun to open."""
    engine = AccountServices(folder)
    settings = AccountSettings(name=NAME, venue="polymarket", mode=Mode.LIVE)
    opener = AccountOpening(PLUGIN.setup(config_of(served, folder)), LIVE, keys)
    assert opener.refusal(settings) == ""
    executor, _ = executor_of(settings, 1)
    executor.resume()
    desk = AccountCore(cache=MarketCache(), executor=executor, bots=(), decide=lambda _: None)
    wiring: dict[str, Any] = {
        "core": desk, "recorder": engine.recorder, "clock": engine.clock, "meter": engine.meter,
        "alert": engine.alert, "crash": engine.crashes.append,
    }  # fmt: skip
    runner = opener.runner(engine, settings, executor, wiring)  # type: ignore[arg-type]
    assert isinstance(runner, PolymarketRunner)
    desk.begin(engine.clock.now_ns())
    streams = opener.begin(settings, funded=False)
    tasks = [asyncio.ensure_future(stream()) for stream in streams]
    account = Account(engine, served, runner)
    show(account, instrument_of(by_slug(served, RAIN)))
    try:
        yield account
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await runner.close()
        await runner.door.close()
        engine.recorder.close()


@contextlib.asynccontextmanager
async def living(served: Served, folder: Path) -> AsyncIterator[Account]:
    """An account that is open, funded, recovered and beating, with one market."""
    async with begun(served, folder, keys_of()) as account:
        await account.until(lambda: account.runner.core.executor.healthy, "it may place")
        yield account


def show(account: Account, instrument: Instrument) -> None:
    """Let the account receive a market as it stands."""
    book = BookReplaced(
        instrument=instrument.id, bids=((4_000, 100 * SHARE),), asks=((6_000, 100 * SHARE),)
    )
    now_ns = account.engine.clock.now_ns()
    account.runner.market((InstrumentListed(instrument=instrument), book), now_ns)


def place(account: Account, cents: int, shares: int) -> None:
    """Place an order by hand in the market, once its book is shown anew."""
    instrument = instrument_of(by_slug(account.served, RAIN))
    show(account, instrument)
    asked = PlaceManual(
        account=AccountId(NAME), instrument=instrument.id, leg=Leg.YES, side=Side.BUY,
        price=100 * cents, size=shares * SHARE,
    )  # fmt: skip
    made = account.runner.core.place(asked, account.engine.clock.now_ns())
    assert not isinstance(made, ManualRefused), made
    account.runner.settle(account.engine.clock.now_ns())


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving(quick()) as running:
        yield running
        running.venue.pump()
        assert running.venue.invariants()["problems"] == []


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beats and second chances follow one another faster than at the real venue."""
    monkeypatch.setattr(heartbeat, "HEARTBEAT_EVERY_NS", S // 5)
    monkeypatch.setattr(heartbeat, "RETRY_NS", S // 10)
    monkeypatch.setattr(upkeep, "AUTH_PAUSE_NS_MIN", S // 10)
    monkeypatch.setattr(upkeep, "UPKEEP_S", 0.05)


async def test_opened_account_is_funded_recovered_and_beats(served: Served, tmp_path: Path) -> None:
    async with living(served, tmp_path) as account:
        cash = account.runner.core.executor.ledger.state.cash_settled_micro
        assert cash == served.venue.settings.faucet_micro
        assert served.venue.heartbeats.count >= 1
        assert f"venue heartbeat {NAME}" in account.engine.rows
        assert account.asked("/data/orders")
        assert account.asked("/data/trades")


async def test_fill_is_received_settled_and_the_balance_refreshed(
    served: Served, tmp_path: Path
) -> None:
    async with living(served, tmp_path) as account, Trader(served, 2) as other:
        instrument = instrument_of(by_slug(served, RAIN)).id
        ledger = account.runner.core.executor.ledger
        await other.rich(by_slug(served, RAIN))
        await account.until(lambda: account.runner.door.venue.lists(instrument), "it is listed")
        place(account, 45, 10)
        await account.until(lambda: served.venue.exchange.order_entry.orders, "it rests")
        await other.place(by_slug(served, RAIN), "SELL", "0.45", "10")
        held = ledger.holding
        await account.until(lambda: held(instrument).yes.settled == 10 * SHARE, "it is settled")
        await account.until(lambda: account.asked("/balance-allowance/update"), "it is refreshed")


async def test_settlement_the_channel_lost_refreshes_the_balance_too(
    served: Served, tmp_path: Path
) -> None:
    async with living(served, tmp_path) as account, Trader(served, 2) as other:
        instrument = instrument_of(by_slug(served, RAIN)).id
        await other.rich(by_slug(served, RAIN))
        await account.until(lambda: account.runner.door.venue.lists(instrument), "it is listed")
        place(account, 45, 10)
        await account.until(lambda: served.venue.exchange.order_entry.orders, "it rests")
        await served.control("faults", script="user_ws_freeze")
        await other.place(by_slug(served, RAIN), "SELL", "0.45", "10")
        held = account.runner.core.executor.ledger.holding

        def settled() -> bool:
            if account.runner.core.executor.at_rest(account.engine.clock.now_ns()):
                account.runner.start_over(account.engine.clock.now_ns())
            return held(instrument).yes.settled == 10 * SHARE

        await account.until(settled, "it is settled")
        await account.until(lambda: account.asked("/balance-allowance/update"), "it is refreshed")


async def test_approvals_that_are_not_answered_stand_as_they_were(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "APPROVALS_EVERY_NS", S // 10)
    async with living(served, tmp_path) as account:
        rows, key = account.engine.rows, f"approvals {NAME}"
        await account.until(lambda: key in rows, "they are told")
        first = rows[key]
        assert first.failed == ""
        assert all(one.approved for one in first.approvals)
        await served.control("faults", kind="garble", path="/v2/approvals", args={"body": "[]"})
        await account.until(lambda: rows[key].failed, "the next question has no answer")
        assert rows[key].approvals == first.approvals
        assert rows[key].told_ns >= first.told_ns


async def test_orders_in_a_market_that_pays_are_sampled_and_a_silence_keeps_the_last_word(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "SCORING_EVERY_NS", S // 10)
    market = by_slug(served, RAIN)
    market.rewards, market.rewards_daily = (10, 4.5), 25.0
    pays = {"rewards_daily_micro": 25_000_000, "rewards_spread_max": 450}
    async with living(served, tmp_path) as account:
        instrument = msgspec.structs.replace(instrument_of(market), **pays)
        await account.until(lambda: account.runner.door.venue.lists(instrument.id), "it is listed")
        place(account, 45, 10)
        show(account, instrument)
        await account.until(lambda: served.venue.exchange.order_entry.orders, "it rests")
        (order,) = [one.order.id for one in account.runner.core.executor.working(instrument.id)]
        await account.until(lambda: account.runner.scoring[0], "it is sampled")
        kept, _ = account.runner.scoring
        assert kept == {order: False}  # a book of one side has no mid
        await served.control("faults", kind="garble", path="/orders-scoring", args={"body": "{}"})
        asked = account.asked("/orders-scoring")
        await account.until(lambda: account.asked("/orders-scoring") > asked + 1, "it is asked on")
        assert account.runner.scoring[0] == kept


async def test_rewards_are_booked_once_apart_from_trading_and_a_silence_books_nothing(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "INCOME_EVERY_NS", S // 10)
    paid, ledger = wallet(signer(1), 0), served.venue.ledger
    served.venue.settings.data_lag_s = 0.0
    ledger.ensure(paid, signer(1).address)
    served.venue.exchange.deposit(AccountId(paid), 5_000_000)
    before_ns = time.time_ns() - 10 * S  # paid before the account began: it is in its first cash
    ledger.income.append((AccountId(paid), "REWARD", 5_000_000, before_ns))
    async with living(served, tmp_path) as account:
        executor = account.runner.core.executor
        state, cash = executor.ledger.state, executor.ledger.state.cash_settled_micro
        assert cash == served.venue.settings.faucet_micro + 5_000_000
        fault = {"kind": "garble", "path": "/v2/activity", "args": {"body": "[]"}}
        await served.control("faults", **fault)
        state.funded_ns -= S  # the index tells whole seconds
        ledger.pay(AccountId(paid), "REWARD", 1_250_000)
        ledger.pay(AccountId(paid), "MAKER_REBATE", 750_000)
        asked = account.asked("/v2/activity")
        await account.until(lambda: account.asked("/v2/activity") > asked + 1, "it is asked")
        assert state.income_micro == {}
        served.venue.faults.clear()
        await account.until(lambda: len(state.payments) == 2, "both are booked")
        asked = account.asked("/v2/activity")
        await account.until(lambda: account.asked("/v2/activity") > asked + 1, "asked again")
        assert state.income_micro == {CashKind.REWARD: 1_250_000, CashKind.REBATE: 750_000}
        assert state.cash_settled_micro == cash + 2_000_000
        assert state.realised_micro == 0
        executor.ledger.check()


async def test_refusal_for_want_of_funds_refreshes_the_balance(
    served: Served, tmp_path: Path
) -> None:
    async with living(served, tmp_path) as account:
        instrument = instrument_of(by_slug(served, RAIN)).id
        await account.until(lambda: account.runner.door.venue.lists(instrument), "it is listed")
        served.venue.ledger.allowances[AccountId(wallet(signer(1), 0))] = 0
        place(account, 45, 10)
        await account.until(lambda: account.asked("/balance-allowance/update"), "it is refreshed")
        assert account.alerted("rejected_no_funds")


async def test_second_writer_halts_the_account_and_tells(served: Served, tmp_path: Path) -> None:
    async with living(served, tmp_path) as account, adapter(served) as (rival, _):
        end = time.monotonic() + 40
        while not account.alerted("second_writer") and time.monotonic() < end:
            with contextlib.suppress(Exception):
                await rival.send_heartbeat()
            account.runner.tick()
            await asyncio.sleep(0.05)
        assert account.alerted("second_writer")
        assert "another program sends heartbeats" in account.reasons
        assert "stopped:" in account.reasons
        count = served.venue.heartbeats.count
        await asyncio.sleep(1)
        assert served.venue.heartbeats.count == count


async def test_cut_channel_forbids_placing_until_everything_was_asked(
    served: Served, tmp_path: Path
) -> None:
    async with living(served, tmp_path) as account:
        listed = account.asked("/data/orders")
        await served.control("sockets", channel="user", do="abort")
        await account.until(lambda: "user_feed" in account.reasons, "it is blind")
        await account.until(lambda: account.runner.core.executor.healthy, "it sees again")
        assert account.asked("/data/orders") > listed


async def test_torn_frame_is_told_and_asked_about(served: Served, tmp_path: Path) -> None:
    async with living(served, tmp_path) as account:
        fills = account.asked("/data/trades")
        await served.control("sockets", channel="user", do="text", text='{"event_type":')
        await account.until(lambda: account.alerted("user_frame"), "a person is told")
        await account.until(lambda: account.asked("/data/trades") > fills, "fills are asked for")


async def test_refused_key_is_asked_about_again_until_it_is_taken(
    served: Served, tmp_path: Path
) -> None:
    async with living(served, tmp_path) as account:
        await served.control("faults", script="unauthorized", for_s=1.0)
        account.runner.start_over(account.engine.clock.now_ns())
        await account.until(lambda: "auth:" in account.reasons, "the key is refused")
        await account.until(lambda: account.runner.core.executor.healthy, "it is taken again")


async def test_latch_stops_the_beat_and_its_release_starts_it(
    served: Served, tmp_path: Path
) -> None:
    async with living(served, tmp_path) as account:
        account.engine.killed.set()
        account.runner.latch(LatchSet(who="t", reason="r"), account.engine.clock.now_ns())
        await account.until(lambda: "the KILL latch is set" in account.reasons, "it stands still")
        count = served.venue.heartbeats.count
        await asyncio.sleep(0.6)
        assert served.venue.heartbeats.count <= count + 1, "one may have been on its way"


async def test_lost_beats_stop_quoting_before_the_venue_cancels(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "QUOTES_STOP_NS", S)
    async with living(served, tmp_path) as account:
        await served.control("faults", script="heartbeat_401", for_s=3.0)
        await account.until(lambda: "heartbeat:" in account.reasons, "it quotes no more")
        assert served.venue.heartbeats.lapsed == []
        await account.until(lambda: account.runner.core.executor.healthy, "it quotes again")
