"""Wallet copy: which trades of a wallet are copied, how much of them, and which are not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from engine.caches.markets import MarketCache
from engine.caches.views import InventoryView
from engine.domain.events import BookReplaced, InstrumentListed
from engine.domain.instruments import BotId, Instrument, InstrumentId, Kind
from engine.domain.intents import Target
from engine.domain.legs import Leg, Side
from engine.domain.observed_events import Observed
from engine.domain.wallets import WalletTrade
from engine.errors import BadInput
from engine.strategies.door import Context, Evaluation, Strategy
from engine.strategies.registry import build

S = 1_000_000_000
T0 = 1_790_000_000 * S
SHARE = 1_000_000
WALLET = "polymarket/0xabcd"
MARKET = Instrument(
    id=InstrumentId("polymarket:0x1"), kind=Kind.BINARY, currency="pUSD", price_decimals=4,
    size_decimals=6, tick=100, lot=10_000, size_min=5 * SHARE,
)  # fmt: skip


class Stage:
    """One bot that follows a wallet in one market, whose book stands at 49 and 50 cents."""

    def __init__(self, market: Instrument = MARKET, **parameters: Any) -> None:
        given = {"wallet": WALLET, "trade_max": 1_000.0, "share": 1.0, **parameters}
        self.parameters = given
        self.strategy: Strategy = build("wallet_copy", given, BotId("b"))
        self.market, self.count, self.position = market, 0, 0.0
        self.cache = MarketCache()
        self.cache.receive(InstrumentListed(instrument=market), T0)
        self.book(4_900, 5_000)

    def book(self, bid: int, ask: int) -> None:
        levels = {"bids": ((bid, 10**12),), "asks": ((ask, 10**12),)}
        self.cache.receive(BookReplaced(instrument=self.market.id, **levels), T0)  # type: ignore[arg-type]

    def trades(self, size: float, price: float = 0.5, *, leg: Leg = Leg.YES, s: float = 0.0,
               side: Side = Side.BUY, number: str = "") -> Observed:  # fmt: skip
        """Have the wallet trade, `s` seconds after the start; return what was observed."""
        self.count += 1
        made = WalletTrade(
            instrument=self.market.id, leg=leg, side=side, price=price, size=size,
            at_ns=T0 + round(s * S), number=number or f"t{self.count}",
        ).observed(WALLET, T0 + round(s * S))  # fmt: skip
        assert self.strategy.receive(made, made.at_ns) is (not number or self.count == 1)
        return made

    def ask(self, s: float = 1.0, **changes: Any) -> Evaluation:
        held = InventoryView(position=round(self.position * SHARE), cash_free_micro=1_000 * SHARE)
        context = Context(
            bot=BotId("b"), decision=1, view=self.cache.views[self.market.id], inventory=held,
            references=self.cache.references, capital_micro=1_000 * SHARE, **changes,
        )  # fmt: skip
        return self.strategy.evaluate(context, T0 + round(s * S))

    def wanted(self, s: float = 1.0, **changes: Any) -> float | None:
        """Return the shares of YES it wants to hold; None = as it is."""
        (intent,) = self.ask(s, **changes).intents or (None,)
        assert intent is None or isinstance(intent, Target)
        return None if intent is None else intent.position / SHARE


def failed(evaluation: Evaluation) -> list[str]:
    return [gate.name for gate in evaluation.decision.gates if not gate.passed]


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.mark.parametrize(
    ("leg", "side", "price", "held", "wanted"),
    [
        (Leg.YES, Side.BUY, 0.5, 0.0, 20.0),
        (Leg.NO, Side.BUY, 0.51, 0.0, -20.0),
        (Leg.YES, Side.SELL, 0.49, 50.0, 30.0),
        (Leg.NO, Side.SELL, 0.5, -50.0, -30.0),
        (Leg.YES, Side.SELL, 0.49, 12.0, 0.0),
        (Leg.YES, Side.BUY, 0.5, -8.0, 12.0),
    ],
)
def test_a_tenth_of_each_trade_is_added_or_taken_off(
    stage: Stage, leg: Leg, side: Side, price: float, held: float, wanted: float
) -> None:
    stage.position = held
    stage.trades(200, price, leg=leg, side=side)
    assert stage.wanted() == wanted


def test_the_worst_price_is_a_cent_beyond_the_wallets_own(stage: Stage) -> None:
    stage.trades(200, 0.5)
    (intent,) = stage.ask().intents
    assert isinstance(intent, Target)
    assert intent.limit_price == 5_100
    assert intent.valid_until_ns == T0 + 61 * S


def test_trades_add_up_while_the_first_is_still_worked(stage: Stage) -> None:
    for _ in range(2):
        stage.trades(200)
    assert stage.wanted() == 40.0
    stage.trades(100, s=2)
    assert stage.wanted(3) == 50.0
    stage.position = 50.0
    assert stage.wanted(4) is None


def test_what_is_wanted_is_over_after_the_delay(stage: Stage) -> None:
    stage.trades(200)
    assert stage.wanted() == 20.0
    stage.position = 5.0
    assert stage.wanted(62) is None
    stage.trades(100, s=63)
    assert stage.wanted(64) == 15.0, "it is added to what is held"


def test_pieces_too_small_for_an_order_are_added_up_while_fresh(stage: Stage) -> None:
    for s in range(2):
        stage.trades(20, s=s)
        assert failed(stage.ask(s)) == ["size"]
    stage.trades(20, s=3)
    assert stage.wanted(3) == 6.0
    late = Stage()
    late.trades(40)
    late.ask()
    late.trades(40, s=70)
    assert failed(late.ask(70)) == ["size"]


@pytest.mark.parametrize(
    ("asked_s", "price", "bid", "gate"),
    [(61.0, 0.5, 4_900, "fresh"), (1.0, 0.48, 4_900, "price"), (1.0, 0.5, 0, "touch")],
)
def test_a_late_trade_a_worse_price_or_an_empty_book_copies_nothing(
    stage: Stage, asked_s: float, price: float, bid: int, gate: str
) -> None:
    if not bid:
        stage.cache.receive(BookReplaced(instrument=MARKET.id, bids=(), asks=()), T0)
    stage.trades(200, price)
    found = stage.ask(asked_s)
    assert gate in failed(found)
    assert found.intents == ()


@pytest.mark.parametrize(
    ("parameters", "wanted"),
    [({"trade_max": 5.0}, 10.0), ({"share": 0.01}, 20.0), ({"trade_share": 1.0}, 2_000.0)],
)
def test_a_copy_stays_under_every_cap(parameters: dict[str, Any], wanted: float) -> None:
    stage = Stage(**parameters)
    stage.trades(3_000)
    assert stage.wanted() == wanted


def test_a_bot_that_winds_down_and_one_that_copies_no_sales_open_nothing(stage: Stage) -> None:
    stage.trades(200)
    assert failed(stage.ask(reducing=True)) == ["size"]
    keeps = Stage(copies_sales=False)
    keeps.position = 50.0
    keeps.trades(200, 0.49, side=Side.SELL)
    assert keeps.wanted() is None


def test_a_sale_never_opens_the_other_side(stage: Stage) -> None:
    stage.trades(200, 0.49, side=Side.SELL)
    assert failed(stage.ask()) == ["size"]


def test_the_same_trade_is_copied_once_over_a_restart(stage: Stage) -> None:
    seen = stage.trades(200, number="one")
    stage.trades(200, number="one")
    fresh = build("wallet_copy", stage.parameters, BotId("b"))
    fresh.restore(stage.strategy.state())
    stage.strategy = fresh
    assert not fresh.receive(seen, T0)
    assert stage.wanted() == 20.0
    with pytest.raises(BadInput, match="cannot be read"):
        fresh.restore(b"[")


def test_what_is_no_binary_or_was_never_traded_says_so(stage: Stage) -> None:
    assert failed(stage.ask()) == ["heard"]
    assert stage.strategy.gates["heard"].needed
    pair = Stage(msgspec.structs.replace(MARKET, kind=Kind.SPOT))
    pair.trades(200)
    assert failed(pair.ask()) == ["binary"]


@pytest.mark.parametrize("wrong", ["0xabc", "polymarket", "Poly market/0xabcd", "polymarket/"])
def test_a_wallet_that_is_none_is_refused_in_a_sentence(wrong: str) -> None:
    with pytest.raises(BadInput, match="VENUE/ADDRESS"):
        build("wallet_copy", {"wallet": wrong}, BotId("b"))
    made = build("wallet_copy", {"wallet": "polymarket/0xABCD"}, BotId("b"))
    assert getattr(made, "observes", ()) == ("wallet:polymarket/0xabcd",)
