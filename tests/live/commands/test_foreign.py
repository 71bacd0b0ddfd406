"""Orders and tokens of others in a live wallet: told once, ignored, cancelled, taken in."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from engine.domain.commands.wallet import AdoptTokens, CancelForeign, IgnoreForeign
from engine.domain.effects import RaiseAlert
from engine.domain.events import InstrumentListed, OpenOrdersListed, PositionsListed
from engine.domain.instruments import InstrumentId, Leg, Mode, Side
from engine.domain.orders import Identity, OrderReport, OrderState
from engine.errors import NotSent
from engine.live.commands import foreign
from engine.runtime.market_hub import wants_of
from engine.runtime.recovery import executor_of, recover
from storage.commands import CommandState
from tests.live.commands.test_orders import BOOK, SHARE, HandDesk
from tests.test_distance import DEMO, ONE

OTHER = InstrumentId("demo:nobody-knows")
USD = 1_000_000


class Door:
    """Says what it is told to about an order of another key."""

    def __init__(self, says: Any) -> None:
        self.says, self.asked = says, []

    async def cancel_foreign(self, order: Identity) -> str:
        self.asked.append(order)
        if isinstance(self.says, Exception):
            raise self.says
        return str(self.says)


class WalletDesk(HandDesk):
    """A desk whose account is live, in a wallet with an order and tokens of others."""

    def __init__(self, home: Path) -> None:
        super().__init__(home, room=0)
        self.alerts: list[RaiseAlert] = []

    async def lists(self, *, receive: bool = True) -> None:
        """Tell the listings, and let the account receive the market."""
        engine, runner = self.engine, self.engine.runners[DEMO]
        runner.core.executor.mode = Mode.LIVE
        engine.part(foreign.ForeignThings)._due_ns = 2**63  # it looks when the test says so
        engine.alert = lambda alert, _: self.alerts.append(alert)  # type: ignore[method-assign]
        theirs = OrderReport(
            identity=Identity("0xtheirs"), order=None, ours=False, instrument=ONE.id, leg=Leg.NO,
            side=Side.SELL, price=4_000, size=SHARE, filled=0, state=OrderState.OPEN,
        )  # fmt: skip
        held = (
            (ONE.id, Leg.YES, 10 * SHARE), (ONE.id, Leg.NO, 4 * SHARE), (OTHER, Leg.NO, SHARE),
        )  # fmt: skip
        now_ns = engine.clock.now_ns()
        if receive:
            runner.market((InstrumentListed(instrument=ONE), BOOK), now_ns)
        for told in (
            OpenOrdersListed(account=DEMO, orders=(theirs,)),
            PositionsListed(account=DEMO, holdings=held),
        ):
            engine.recorder.append(DEMO, told, now_ns)
        await asyncio.wrap_future(engine.recorder.commit())

    @property
    def ledger(self) -> Any:
        return self.engine.runners[DEMO].core.executor.ledger

    async def looked(self) -> list[str]:
        """Let it look anew, and give the alerts so far."""
        part = self.engine.part(foreign.ForeignThings)
        part._due_ns = 0
        part.watch(self.engine.clock.now_ns())
        part._due_ns = 2**63
        await self.until(lambda: not part._looking, "it looked")
        return [alert.text for alert in self.alerts if alert.kind == "foreign"]


def adopt(leg: Leg = Leg.YES, cost: int | None = None, key: InstrumentId = ONE.id) -> AdoptTokens:
    return AdoptTokens(account=DEMO, instrument=key, leg=leg, cost=cost)


async def test_what_is_new_is_told_once_and_what_is_ignored_never(tmp_path: Path) -> None:
    async with WalletDesk(tmp_path) as desk:
        await desk.lists()
        for subject in ("0xtheirs", f"{OTHER} no"):
            said = await desk.asked(IgnoreForeign(account=DEMO, subject=subject))
            assert (said.state, "is ignored" in said.answer) == (CommandState.DONE, True)
        (text,) = await desk.looked()
        assert "YES" in text
        assert "SELL NO" not in text
        assert str(OTHER) not in text
        assert len(await desk.looked()) == 1
        await desk.asked(IgnoreForeign(account=DEMO, subject="0xtheirs", on=False))
        first, second = await desk.looked()
        assert (first, "SELL NO" in second) == (text, True)


async def test_tokens_come_in_at_the_cost_that_was_said_and_no_cash_moves(tmp_path: Path) -> None:
    async with WalletDesk(tmp_path) as desk:
        await desk.lists()
        cash = desk.ledger.cash_free_micro
        said = await desk.asked(adopt(cost=3 * USD))
        assert said.state is CommandState.DONE, said.answer
        assert "at 3.00 pUSD (as entered)" in said.answer
        held = desk.ledger.holding(ONE.id).yes
        assert (held.settled, held.cost_micro) == (10 * SHARE, 3 * USD)
        assert desk.ledger.cash_free_micro == cash
        desk.ledger.check()
        again = await desk.asked(adopt(cost=3 * USD))
        assert (again.state, "compare its fills" in again.answer) == (CommandState.REFUSED, True)
        other = await desk.asked(adopt(Leg.NO))
        assert "at 2.00 pUSD (the value at mid" in other.answer
        assert desk.ledger.holding(ONE.id).no.settled == 4 * SHARE


async def test_a_restart_has_the_tokens_from_the_journal_alone(tmp_path: Path) -> None:
    async with WalletDesk(tmp_path) as desk:
        await desk.lists()
        await desk.asked(adopt(cost=3 * USD))
        await desk.written()
        executor, _ = executor_of(desk.engine.settings.document.accounts[DEMO], 2)
        recover(desk.config.journal_path, {DEMO: executor})
        held = executor.ledger.holding(ONE.id).yes
        assert (held.settled, held.cost_micro) == (10 * SHARE, 3 * USD)
        executor.ledger.check()


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (adopt(cost=11 * USD), "is no valid cost: these tokens pay 10.00 at most"),
        (adopt(cost=-1), "is no valid cost"),
        (adopt(Leg.BASE), "lists no"),
        (AdoptTokens(account=foreign.AccountId("gone"), instrument=ONE.id, leg=Leg.YES), "gone"),
    ],
)
async def test_what_cannot_be_taken_in_is_refused_and_nothing_is_booked(
    asked: AdoptTokens, why: str, tmp_path: Path
) -> None:
    async with WalletDesk(tmp_path) as desk:
        await desk.lists()
        said = await desk.asked(asked)
        assert said.state is CommandState.REFUSED
        assert why in said.answer
        assert not desk.ledger.held


@pytest.mark.parametrize(
    ("listed", "why"), [(False, "no terms of"), (True, "no book of")], ids=["terms", "book"]
)
async def test_tokens_whose_market_does_not_come_in_are_refused_and_it_is_let_go(
    why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, listed: bool
) -> None:
    monkeypatch.setattr(foreign, "TERMS_S_MAX", 0.05)
    async with WalletDesk(tmp_path) as desk:
        await desk.lists(receive=False)
        if listed:
            terms = InstrumentListed(instrument=ONE)
            desk.engine.runners[DEMO].market((terms,), desk.engine.clock.now_ns())
        said = await desk.asked(adopt())
        assert (said.state, why in said.answer) == (CommandState.REFUSED, True), said.answer
        assert ONE.id not in desk.engine.followed[DEMO]


async def test_a_market_nobody_receives_is_followed_to_take_its_tokens_in(tmp_path: Path) -> None:
    async with WalletDesk(tmp_path) as desk:
        await desk.lists(receive=False)
        runner, part = desk.engine.runners[DEMO], desk.engine.part(foreign.ForeignThings)
        name = desk.leave(adopt())
        await desk.until(lambda: bool(part._waits), "it waits for the market")
        assert ONE.id in desk.engine.followed[DEMO]
        runner.market((InstrumentListed(instrument=ONE), BOOK), desk.engine.clock.now_ns())
        part.watch(desk.engine.clock.now_ns())
        await desk.until(lambda: desk.find(name).answered_ns is not None, "it is answered")
        assert desk.find(name).state is CommandState.DONE
        assert ONE.id not in desk.engine.followed[DEMO]
        assert ONE.id in wants_of(desk.engine, "polymarket", runner)[0]  # it is held
        assert runner.core.executor.latched is False


async def test_what_was_listed_long_ago_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreign, "LISTED_NS_MAX", -1)
    async with WalletDesk(tmp_path) as desk:
        await desk.lists()
        assert "lists no" in (await desk.asked(adopt(cost=1))).answer


@pytest.mark.parametrize(
    ("says", "state", "words"),
    [
        ("", CommandState.DONE, "is cancelled"),
        ("not found", CommandState.FAILED, "did not cancel SELL NO"),
        (NotSent("no line"), CommandState.FAILED, "no line"),
    ],
)
async def test_an_order_of_another_key_is_cancelled_by_the_venues_word(
    says: Any, state: CommandState, words: str, tmp_path: Path
) -> None:
    async with WalletDesk(tmp_path) as desk:
        await desk.lists()
        asked = CancelForeign(account=DEMO, order=Identity("0xtheirs"))
        assert "only orders of its own key" in (await desk.asked(asked)).answer
        door = Door(says)
        desk.engine.venues[DEMO] = door  # type: ignore[assignment]
        said = await desk.asked(asked)
        assert (said.state, door.asked) == (state, ["0xtheirs"])
        assert words in said.answer
        del desk.engine.venues[DEMO]
