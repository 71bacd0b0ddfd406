"""Many resolutions at the fake venue, deaths and a faulty relayer among them: all exact, all once.

Won, lost, fifty-fifty, voided (a fill that failed, and half back), disputed and then the other way
round; every fourth market is neg-risk, every seventh of protocol 2. The journal of it all is folded
as the pages read it, and the identity of equity is judged every simulated minute.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from engine.domain.effects import RedeemTokens, SplitCash
from engine.domain.events import InstrumentListed
from engine.domain.instruments import Leg, Mode
from engine.live.lifecycle import ledger_side
from storage.equity_identity import judge
from storage.journal import Record
from storage.live import put_instrument
from storage.projected import fold_into
from storage.projection import register_account
from storage.schema import migrate
from tests.fakes.polymarket.listing import Listed
from tests.venues.polymarket.adapter import LIVE, SHARE
from tests.venues.polymarket.wallet_desk import FAUCET, STEPS, USD, WalletDesk, wallet_desk

ENDS = ("won", "lost", "fifty", "voided", "disputed")
FAULTS = ("silent_relayer", "deaf_relayer", "mad_relayer", "mute_relayer", "stuck", "failed")
HOUR_S = 3_600


def markets_of(count: int) -> list[Listed]:
    return [
        Listed(
            slug=f"market-{number}",
            neg_risk=number % 4 == 0,
            version="v2" if number % 7 == 3 else "v1",
        )
        for number in range(count)
    ]


class Identity:
    """The journal's side of equity, folded as the projection does it."""

    def __init__(self, path: Path) -> None:
        migrate(path)
        self._connection = sqlite3.connect(path, isolation_level=None)
        register_account(
            self._connection, engine_id="e1", account=LIVE, mode=Mode.LIVE, venue="polymarket",
            currency="pUSD",
        )  # fmt: skip
        self._fold = fold_into(self._connection, "e1", {LIVE: Mode.LIVE})
        self._seq = self.checks = 0

    def check(self, desk: WalletDesk) -> None:
        """Fold what was journaled since, and judge the ledger that lives by it."""
        if desk.engine_run.dead or desk.executor.recovering:
            return
        for message, at_ns in desk.journal[self._seq :]:
            self._seq += 1
            if isinstance(message, InstrumentListed):
                put_instrument(self._connection, "e1", message.instrument, at_ns)
            kind, body = type(message).__name__, msgspec.msgpack.encode(message)
            self._fold.take(Record(seq=self._seq, at_ns=at_ns, account=LIVE, kind=kind, body=body))
        self._fold.rows.flush()
        side = ledger_side(desk.executor, at_ns=desk.now_ns(), seq=self._seq)
        found = judge(self._connection, "e1", side)
        assert not found.text, found.text
        self.checks += 1

    def close(self) -> None:
        self._connection.close()


async def acquire(desk: WalletDesk, market: Listed, end: str, random: Random) -> None:
    """Hold something of a market, some of it by a split; a voided one lost its first fill."""
    leg = random.choice((Leg.YES, Leg.NO))
    if end == "voided":
        await desk.served.control("settle", next=["FAILED"], customers=True)
        await desk.buy(market, leg, 6)
        await desk.run(60, 10)
    await desk.buy(market, leg, random.randint(5, 20), random.randint(30, 60))
    if random.random() < 0.3:
        split = SplitCash(
            account=LIVE, operation=0, instrument=market.instrument, size=3 * SHARE,
            amount_micro=3 * USD,
        )  # fmt: skip
        desk.engine_run.do(desk.executor.operate(split, desk.now_ns()))
        await desk.run(40, 5)


async def resolve(desk: WalletDesk, market: Listed, end: str, random: Random) -> None:
    """Let a market end; where it is disputed nobody is paid before the last word."""
    held = desk.executor.ledger.holding(market.instrument)
    ours = 1.0 if held.yes.total > held.no.total else 0.0
    payout = {"won": ours, "lost": 1 - ours, "disputed": ours}.get(end, 0.5)
    if end == "disputed":
        early = RedeemTokens(account=LIVE, operation=0, instrument=market.instrument)
        assert desk.executor.wallet.refusal(early, desk.now_ns())
        await desk.run(random.randint(10, 120), 10)
    await desk.resolve(market, payout)


async def trouble(desk: WalletDesk, random: Random) -> str:
    """Let the engine die with a step, the relayer fail in one of its ways, both or neither."""
    desk.dies = random.choice((*STEPS, "", ""))
    fault = random.choice((*FAULTS, "", "", "", ""))
    if fault in ("stuck", "failed"):
        ends = {"relayer_ends": [fault]}
        await desk.served.control("settings", **ends)
    elif fault:
        await desk.fault(fault, times=3 if fault == "mute_relayer" else 1)
    return fault


async def resolutions(count: int, seed: int, path: Path) -> tuple[Counter[str], WalletDesk]:
    """Trade in so many markets, have all of them end, and see each paid once."""
    random, seen = Random(seed), Counter[str]()
    markets = markets_of(count)
    with closing(Identity(path)) as identity:
        async with wallet_desk(markets=markets) as desk:
            for start in range(0, count, 4):
                group = markets[start : start + 4]
                ends = [ENDS[(start + place) % len(ENDS)] for place in range(len(group))]
                for market, end in zip(group, ends, strict=True):
                    await acquire(desk, market, end, random)
                await desk.run(40, 5)
                seen[await trouble(desk, random)] += 1
                for market, end in zip(group, ends, strict=True):
                    await resolve(desk, market, end, random)
                    seen[end] += 1
                await settled(desk, identity)
                desk.dies = ""
                await desk.served.control("settings", relayer_ends=[])
                desk.served.venue.faults.clear()
            seen["deaths"], seen["checks"] = desk.deaths, identity.checks
            desk.check()
            return seen, desk


async def settled(desk: WalletDesk, identity: Identity) -> None:
    """Let everything that can be redeemed be paid, a minute at a time."""
    for _ in range(120):
        await desk.run(60, 5)
        identity.check(desk)
        if not (
            desk.engine_run.dead
            or desk.executor.wallet.state.operations
            or desk.executor.ledger.redeemable
        ):
            return
    raise AssertionError((desk.executor.wallet.state.operations, desk.alerts[-3:]))


@pytest.mark.long
async def test_each_resolution_is_paid_once_through_deaths_and_a_faulty_relayer(
    tmp_path: Path,
) -> None:
    seen, desk = await resolutions(20, 5, tmp_path / "pitboss.db")

    assert {seen[end] for end in ENDS} == {4}
    assert seen["deaths"] > 1
    paid = desk.redeemed()
    assert len(paid) >= 16  # all but losers without a split pair


@pytest.mark.soak
@pytest.mark.parametrize("seed", [11, 12])
async def test_two_hundred_resolutions(tmp_path: Path, seed: int) -> None:
    seen, desk = await resolutions(200, seed, tmp_path / "pitboss.db")

    assert sum(seen[end] for end in ENDS) == 200
    assert seen["deaths"] > 20
    assert set(FAULTS) <= set(seen)
    assert len(desk.redeemed()) >= 160


@pytest.mark.long
async def test_an_hour_with_ten_wins_says_nothing_of_cash_or_equity(tmp_path: Path) -> None:
    markets = markets_of(10)
    with closing(Identity(tmp_path / "pitboss.db")) as identity:
        async with wallet_desk(markets=markets) as desk:
            began_ns = desk.now_ns()
            for market in markets:
                await desk.buy(market, Leg.YES, 10)
                await desk.run(180, 10)
                await desk.resolve(market, 1.0)
                for _ in range(3):
                    await desk.run(60, 10)
                    identity.check(desk)
            while desk.now_ns() - began_ns < HOUR_S * 1_000_000_000:
                await desk.run(60, 10)
                identity.check(desk)

            kinds = {alert.kind for alert in desk.alerts}
            assert not kinds & {"cash_differs", "position_differs", "equity_differs"}
            assert identity.checks >= 30
            fees = desk.executor.ledger.state.fees_micro
            assert desk.cash()[0] == FAUCET + 50 * USD - fees
            desk.check()


__all__: list[Any] = []
