"""One market by hand on a whole desk: followed, and left at once within a cap, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from engine.domain.bots import BotState
from engine.domain.commands import MANUAL, ApplySettings, PlaceManual
from engine.domain.commands.trading import Flatten, FollowMarket, TransferHolding
from engine.domain.commands.wallet import AdoptTokens, Split
from engine.domain.effects import CancelScope
from engine.domain.events import (
    BookReplaced,
    FillSettled,
    InstrumentListed,
    OrderAccepted,
    OrderCancelled,
    OrderFilled,
    VenueEvent,
)
from engine.domain.fills import FillId, Liquidity
from engine.domain.instruments import BotId, InstrumentId, Leg, Side
from engine.domain.intents import Quotes, Urgency
from engine.domain.orders import CancelReason, OrderState, OrderType
from engine.errors import OutcomeUnknown
from engine.gateway.door import Prepared
from engine.live.accounts import Accounts
from engine.live.commands import orders
from engine.live.main import chosen
from engine.runtime.market_hub import wants_of
from engine.venues.demo.profiles import PERPETUAL
from engine.venues.demo.spot import perpetual_instrument
from storage.commands import CommandState, LeftCommand, MarkKind, StandingMark, mark, marks
from storage.database import Table
from storage.projected.listings import ListingRow
from storage.users import ENGINE_ID
from tests.test_distance import DEMO, ONE, Exchange, TradingDesk

SHARE = 10**6
BOOK = BookReplaced(
    instrument=ONE.id, bids=((4_800, 9 * SHARE),), asks=((5_200, 90 * SHARE),), exchange_ns=None
)


class Takes(Exchange):
    """Fills what takes up to `room` shares, at the limit; what rests stays."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room * SHARE
        self.meanwhile: Callable[[], None] = lambda: None
        """What happens in the market while an order is on its way."""
        self.silent = False

    async def send(self, prepared: Prepared) -> Sequence[VenueEvent]:
        if self.silent:
            raise OutcomeUnknown("no answer")
        order = prepared.order
        self.sent.append(order)
        told: list[VenueEvent] = [OrderAccepted(account=DEMO, order=order.id)]
        if order.type is not OrderType.FAK:
            return told
        self.meanwhile()
        size = min(order.size, self.room)
        self.room -= size
        fill = FillId(f"f{order.id}")
        if size:
            told.append(
                OrderFilled(
                    account=DEMO, order=order.id, fill=fill, price=order.price, size=size,
                    fee_micro=0, liquidity=Liquidity.TAKER,
                )
            )  # fmt: skip
            told.append(FillSettled(account=DEMO, fill=fill))
        if size < order.size:
            told.append(
                OrderCancelled(account=DEMO, order=order.id, reason=CancelReason.KILLED_REST)
            )
        return told

    async def cancel(self, orders: Sequence[Any]) -> Sequence[VenueEvent]:
        return [OrderCancelled(account=DEMO, order=one.order) for one in orders]

    async def cancel_all(self, _: CancelScope) -> Sequence[VenueEvent]:
        return ()


class HandDesk(TradingDesk):
    """A desk whose bot rests; a person holds 20 YES of its market, and nobody reads a socket."""

    def __init__(self, home: Path, room: int) -> None:
        super().__init__(home, Takes(20 + room))

    async def holds(self) -> None:
        runner, now_ns = self.engine.runners[DEMO], self.engine.clock.now_ns()
        runner.core.executor.ledger.move_cash(10**10)
        runner.market((InstrumentListed(instrument=ONE), BOOK), now_ns)
        bought = await self.buys(20)
        assert bought.state is CommandState.DONE, bought.answer
        assert self.position == 20 * SHARE

    async def buys(self, shares: int) -> LeftCommand:
        """Take so much YES by hand."""
        return await self.asked(
            PlaceManual(
                account=DEMO, instrument=ONE.id, leg=Leg.YES, side=Side.BUY, price=5_200,
                size=shares * SHARE, urgency=Urgency.CROSS,
            )
        )  # fmt: skip

    @property
    def position(self) -> int:
        return self.engine.runners[DEMO].core.executor.ledger.holding(ONE.id).position

    async def asked(self, command: Any) -> LeftCommand:
        """Leave a command, let the engine look at its clock, and wait for the answer."""
        name = self.leave(command)

        def over() -> bool:
            self.engine.tick(self.engine.clock.now_ns())
            return self.find(name).answered_ns is not None

        await self.until(over, f"{command} is answered")
        return self.find(name)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up after a moment: what is left does not change by waiting."""
    monkeypatch.setattr(orders, "FLATTEN_NS_MAX", 1_500_000_000)


def flatten(slip: int) -> Flatten:
    return Flatten(account=DEMO, instrument=ONE.id, slippage_max=slip)


async def test_a_position_is_sold_within_the_cap_and_nothing_beyond(tmp_path: Path) -> None:
    async with HandDesk(tmp_path, room=50) as desk:
        await desk.holds()
        said = await desk.asked(flatten(100))
        assert said.state is CommandState.DONE
        assert said.answer == f"{ONE.id} is flat: 20 closed within 1¢ from 48¢"
        sold = desk.venue.sent[-1]
        assert (sold.bot, sold.side, sold.leg, sold.type) == (MANUAL, "sell", "yes", "fak")
        assert (sold.price, sold.size, desk.position) == (4_700, 20 * SHARE, 0)
        again = await desk.asked(flatten(100))
        assert (again.state, "holds nothing" in again.answer) == (CommandState.REFUSED, True)


async def test_what_is_bought_after_a_flatten_is_kept(tmp_path: Path) -> None:
    async with HandDesk(tmp_path, room=50) as desk:
        await desk.holds()
        await desk.asked(flatten(100))
        bought = await desk.buys(20)
        for _ in range(3):
            desk.engine.runners[DEMO].settle(desk.engine.clock.now_ns())
            desk.engine.tick(desk.engine.clock.now_ns())
        assert (bought.state, desk.position) == (CommandState.DONE, 20 * SHARE)
        assert [one.side for one in desk.venue.sent] == [Side.BUY, Side.SELL, Side.BUY]


async def test_what_nobody_takes_is_left_and_named(tmp_path: Path) -> None:
    async with HandDesk(tmp_path, room=8) as desk:
        await desk.holds()
        said = await desk.asked(flatten(0))
        assert said.state is CommandState.FAILED
        assert said.answer.startswith(f"12 of 20 in {ONE.id} are left, within 0¢ from 48¢")
        assert desk.position == 12 * SHARE
        assert desk.engine.runners[DEMO].core.executor.explain(ONE.id, MANUAL)[0] == (), (
            "it still sells"
        )
        assert {one.side for one in desk.venue.sent[1:]} == {Side.SELL}
        assert {one.price for one in desk.venue.sent[1:]} == {4_800}


async def test_the_cap_counts_from_where_it_began_and_does_not_follow_the_book(
    tmp_path: Path,
) -> None:
    async with HandDesk(tmp_path, room=8) as desk:
        await desk.holds()
        worse = msgspec.structs.replace(BOOK, bids=((4_600, 90 * SHARE),))
        runner, clock = desk.engine.runners[DEMO], desk.engine.clock
        desk.venue.meanwhile = lambda: runner.market((worse,), clock.now_ns())
        said = await desk.asked(flatten(100))
        assert said.answer.startswith(f"12 of 20 in {ONE.id} are left, within 1¢ from 48¢: ")
        assert said.answer.endswith("no one offers that price now")
        assert all(one.price >= 4_700 for one in desk.venue.sent[1:])


async def test_an_order_by_hand_goes_before_its_position_does(tmp_path: Path) -> None:
    async with HandDesk(tmp_path, room=50) as desk:
        await desk.holds()
        rests = await desk.asked(
            PlaceManual(
                account=DEMO, instrument=ONE.id, leg=Leg.YES, side=Side.SELL, price=5_500,
                size=5 * SHARE,
            )
        )  # fmt: skip
        assert rests.state is CommandState.DONE, rests.answer
        assert (await desk.asked(flatten(100))).state is CommandState.DONE
        assert desk.engine.runners[DEMO].core.executor.working(ONE.id) == ()


async def test_a_bots_level_is_cancelled_before_an_order_by_hand_that_takes_goes_out(
    tmp_path: Path,
) -> None:
    async with HandDesk(tmp_path, room=50) as desk:
        await desk.holds()
        runner, now_ns = desk.engine.runners[DEMO], desk.engine.clock.now_ns()
        quotes = Quotes(
            bot=BotId("b"), instrument=ONE.id, bids=(), asks=((5_200, 5 * SHARE),),
            valid_until_ns=now_ns + 10**12,
        )  # fmt: skip
        runner.core.executor.receive(quotes, now_ns)
        runner.settle(now_ns)
        (known,) = runner.core.executor.working(ONE.id)
        await desk.until(lambda: known.state is OrderState.OPEN, "it rests")
        said = await desk.buys(5)
        assert (said.state, "is filled" in said.answer) == (CommandState.DONE, True), said.answer
        assert known.state is OrderState.CANCELLED
        assert desk.position == 25 * SHARE


async def test_an_order_by_hand_nobody_answers_for_is_unknown_and_not_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orders, "ANSWER_NS_MAX", 300_000_000)
    async with HandDesk(tmp_path, room=0) as desk:
        await desk.holds()
        desk.venue.silent = True
        asked = await desk.buys(5)
        assert asked.state is CommandState.FAILED
        assert "UNKNOWN: no answer; we ask the venue and never resend it" in asked.answer


@pytest.mark.parametrize(
    ("price", "fills", "words"),
    [
        (5_200, 5, "is filled"),
        (5_200, 2, "is accepted and rests, 2 filled"),
        (5_100, 0, "is accepted and rests"),
    ],
)
async def test_an_order_that_meets_the_book_is_not_said_to_rest_before_its_fills_are_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, price: int, fills: int, words: str
) -> None:
    monkeypatch.setattr(orders, "FILLS_NS_MAX", 1_000_000_000)
    async with HandDesk(tmp_path, room=0) as desk:
        await desk.holds()
        runner = desk.engine.runners[DEMO]
        name = desk.leave(
            PlaceManual(
                account=DEMO, instrument=ONE.id, leg=Leg.YES, side=Side.BUY, price=price,
                size=5 * SHARE,
            )
        )  # fmt: skip

        def states() -> list[OrderState]:
            return [one.state for one in runner.core.executor.working(ONE.id)]

        await desk.until(lambda: states() == [OrderState.OPEN], "it is accepted")
        desk.engine.tick(desk.engine.clock.now_ns())
        if fills:
            (waiting,) = runner.core.executor.working(ONE.id)
            assert desk.find(name).answered_ns is None
            fill = OrderFilled(
                account=DEMO, order=waiting.order.id, fill=FillId("late"), price=price,
                size=fills * SHARE, fee_micro=0, liquidity=Liquidity.TAKER,
            )  # fmt: skip
            runner.report(fill)

        def over() -> bool:
            desk.engine.tick(desk.engine.clock.now_ns())
            return desk.find(name).answered_ns is not None

        await desk.until(over, "it is answered")
        assert words in desk.find(name).answer


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("torn", "no trusted book"),
        ("empty", "nobody bids"),
    ],
)
async def test_what_cannot_be_flattened_is_refused_in_words(
    tmp_path: Path, change: str, why: str
) -> None:
    async with HandDesk(tmp_path, room=50) as desk:
        await desk.holds()
        runner, now_ns = desk.engine.runners[DEMO], desk.engine.clock.now_ns()
        if change == "torn":
            runner.core.cache.views[ONE.id].trusted = False
        else:
            runner.market((msgspec.structs.replace(BOOK, bids=()),), now_ns)
        said = await desk.asked(flatten(100))
        assert said.state is CommandState.REFUSED
        assert why in said.answer
        assert len(desk.venue.sent) == 1


async def test_a_person_buys_and_closes_beside_a_running_bot(tmp_path: Path) -> None:
    async with HandDesk(tmp_path, room=50) as desk:
        desk.engine.bot_runners["maker"].bot.state = BotState.RUNNING
        await desk.holds()
        ledger = desk.engine.runners[DEMO].core.executor.ledger
        assert ledger.owned(ONE.id, MANUAL).position == 20 * SHARE
        assert (await desk.asked(flatten(100))).state is CommandState.DONE
        assert ledger.owned(ONE.id, MANUAL).flat


async def test_nothing_is_done_by_hand_for_a_bot_that_runs(tmp_path: Path) -> None:
    async with HandDesk(tmp_path, room=50) as desk:
        desk.engine.bot_runners["maker"].bot.state = BotState.RUNNING
        for_it = msgspec.structs.replace(flatten(100), owner=BotId("maker"))
        said = await desk.asked(for_it)
        assert said.state is CommandState.REFUSED
        assert "its next plan would undo what is done for it by hand" in said.answer


def given(**changes: Any) -> TransferHolding:
    fields: dict[str, Any] = {
        "account": DEMO, "instrument": ONE.id, "leg": Leg.YES, "size": 5 * SHARE, "price": 6_000,
        "from_owner": MANUAL, "to_owner": BotId("maker"),
    }  # fmt: skip
    return TransferHolding(**(fields | changes))


async def test_a_transfer_gives_a_bot_what_a_person_bought(tmp_path: Path) -> None:
    async with HandDesk(tmp_path, room=50) as desk:
        await desk.holds()
        said = await desk.asked(given())
        assert (said.state, "went from manual to maker at 60¢" in said.answer) == (
            CommandState.DONE, True
        )  # fmt: skip
        ledger = desk.engine.runners[DEMO].core.executor.ledger
        assert ledger.owned(ONE.id, BotId("maker")).yes.cost_settled_micro == 3 * SHARE
        assert ledger.owned(ONE.id, MANUAL).position == 15 * SHARE
        assert desk.position == 20 * SHARE
        ledger.check()


async def test_a_short_is_transferred_as_far_as_no_order_closes_it(tmp_path: Path) -> None:
    async with HandDesk(tmp_path, room=0) as desk:
        runner, perpetual = desk.engine.runners[DEMO], perpetual_instrument(PERPETUAL)
        runner.market((InstrumentListed(instrument=perpetual),), desk.engine.clock.now_ns())
        ledger = runner.core.executor.ledger
        ledger.move_cash(10**10)
        ledger.take_in(perpetual.id, Leg.BASE, -500_000, -325_000_000, MANUAL)
        asked = given(instrument=perpetual.id, leg=Leg.BASE, size=200_000, price=6_400_000)
        said = await desk.asked(asked)
        assert "0.002 short of demo:BTC-PERP went from manual to maker at 64000" in said.answer
        sizes = {owner: one.position for owner, one in ledger.holders(perpetual.id).items()}
        assert sizes == {MANUAL: -300_000, "maker": -200_000}
        assert ledger.state.owners[MANUAL].realised_micro == 2_000_000
        ledger.check()
        said = await desk.asked(msgspec.structs.replace(asked, size=300_001))
        assert "0.003 of manual are settled and free, 0.00300001 were to go" in said.answer


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"size": 21 * SHARE}, "20 yes of manual are settled and free, 21 were to go"),
        ({"to_owner": MANUAL}, "manual cannot give to itself"),
        ({"to_owner": BotId("nobody")}, "nobody is no bot of demo"),
        ({"from_owner": BotId("maker"), "to_owner": MANUAL}, "0 yes of maker are settled"),
        ({"leg": Leg.BASE}, "has the legs yes, no, not base"),
        ({"price": 10_000}, "100¢ is no price: it must be between"),
        ({"instrument": InstrumentId("demo:other")}, "nothing of demo:other is known"),
    ],
)
async def test_what_cannot_be_transferred_is_refused_in_words(
    tmp_path: Path, wrong: dict[str, Any], why: str
) -> None:
    async with HandDesk(tmp_path, room=50) as desk:
        await desk.holds()
        said = await desk.asked(given(**wrong))
        assert (said.state, why in said.answer) == (CommandState.REFUSED, True), said.answer


async def test_a_followed_market_is_wanted_until_it_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = InstrumentId("demo:other")
    monkeypatch.setattr(orders, "FOLLOWED_MAX", 1)
    async with HandDesk(tmp_path, room=0) as desk:
        engine, runner = desk.engine, desk.engine.runners[DEMO]
        venue = SimpleNamespace(may_be=lambda name: name != "demo:nothing")
        desk.accounts.venues = SimpleNamespace(markets={"demo": venue})
        asked = FollowMarket(account=DEMO, instrument=other)
        assert (await desk.asked(asked)).state is CommandState.DONE
        assert other in wants_of(engine, "demo", runner)[0]
        for name, why in (
            ("demo:third", "stop following one first"),
            ("demo:nothing", "is not a market"),
        ):
            said = await desk.asked(msgspec.structs.replace(asked, instrument=InstrumentId(name)))
            assert (said.state, why in said.answer) == (CommandState.REFUSED, True)
        assert [one.subject for one in kept(desk)] == [other]
        await desk.asked(msgspec.structs.replace(asked, on=False))
        assert other not in wants_of(engine, "demo", runner)[0]
        assert kept(desk) == []


def kept(desk: HandDesk) -> list[StandingMark]:
    return marks(desk.connection, ENGINE_ID, MarkKind.FOLLOWED)


async def test_a_followed_market_survives_a_restart_until_it_is_resolved(tmp_path: Path) -> None:
    over = InstrumentId("demo:over")
    async with HandDesk(tmp_path, room=0) as desk:
        for subject in (ONE.id, over):
            one = StandingMark(
                account=DEMO, kind=MarkKind.FOLLOWED, subject=subject, who="ann", at_ns=1
            )
            mark(desk.connection, ENGINE_ID, one, on=True)
        paid = ListingRow(instrument=over, payout_yes_micro=0, seq=1)
        Table(ListingRow, "listings").put(desk.connection, ENGINE_ID, [paid])
        venues: Any = SimpleNamespace(refusal=lambda _: "it is closed")
        start = chosen(desk.connection, Accounts(venues, fence=1), 1)
        assert start.followed == {DEMO: {ONE.id: None}}
        assert [one.subject for one in kept(desk)] == [ONE.id]


@pytest.mark.parametrize(
    "asked",
    [
        PlaceManual(
            account=DEMO, instrument=ONE.id, leg=Leg.YES, side=Side.BUY, price=4_700, size=5 * SHARE
        ),
        Split(account=DEMO, instrument=ONE.id, size=5 * SHARE),
        AdoptTokens(account=DEMO, instrument=ONE.id, leg=Leg.YES),
    ],
    ids=["order", "split", "tokens"],
)
async def test_nothing_more_comes_by_hand_to_an_account_that_was_removed(
    asked: Any, tmp_path: Path
) -> None:
    async with TradingDesk(tmp_path, Exchange()) as desk:
        desk.quote()
        desk.engine.bot_runners["maker"].bot.state = BotState.STOPPED
        version = desk.edit({"accounts": {DEMO: None}, "bots": {"maker": None}}, base=1)
        left = await desk.command(ApplySettings(version=version))
        assert left.state is CommandState.DONE, left.answer
        left = await desk.command(asked)
        assert left.state is CommandState.REFUSED
        assert "account demo was removed" in left.answer
