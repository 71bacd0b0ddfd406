"""The table of limits: what each one lets pass, what it stops, and that a restart changes neither.

`python tests/risk/test_limits_table.py` prints it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from msgspec.structs import replace

from engine.domain.events import BookMarked
from engine.domain.instruments import (
    AccountId,
    BotId,
    Instrument,
    InstrumentId,
    Kind,
    Leg,
    Side,
)
from engine.domain.orders import Order, OrderId
from engine.domain.products.margin import MarginTier, Measure, tier_table
from engine.domain.products.perpetual import MarginTerms
from engine.domain.settings import Limit, RiskLimits
from engine.executor.fills import Holding, exit_value_micro
from engine.executor.ledger import Ledger
from engine.risk.exposure import ExposureBook
from engine.risk.gate import Allowed, Breakers, Denied, DenyReason, RiskGate

NOW = 20_000 * 86_400 * 10**9 + 10**12
EQUITY = 1_000_000_000
SHARE = 1_000_000
BOT = BotId("maker")
WIDE = {
    name: Limit(absolute=10**9)
    for name, field in RiskLimits.model_fields.items()
    if field.annotation is Limit and name != "order_value_min"
}
"""Every limit out of the way, so that a row tests its own."""


def instrument(name: str, market: str = "") -> Instrument:
    return Instrument(
        id=InstrumentId(name),
        kind=Kind.BINARY,
        currency="USD",
        price_decimals=4,
        size_decimals=6,
        tick=1,
        lot=1,
        size_min=SHARE,
        market=market,
    )


P1 = replace(
    instrument("v:perpetual"),
    kind=Kind.PERPETUAL,
    margin=MarginTerms(
        leverage=10,
        tiers=tier_table(Measure.VALUE, [MarginTier(0, 10**15, 5_000, 20)]),
        isolated=True,
    ),
)
M1, M2, M3 = instrument("v:1", "event"), instrument("v:2", "event"), instrument("v:3")


class Desk:
    """Gate, breakers and exposure as an engine holds them; `restart` goes through their state."""

    def __init__(self, **limits: Any) -> None:
        self.limits = RiskLimits(**(WIDE | limits))
        self.breakers = Breakers(self.limits)
        self.breakers.equity(EQUITY, NOW)
        self.told: list[Callable[[ExposureBook], None]] = []
        self._build()

    def _build(self) -> None:
        self.exposure = ExposureBook()
        for known in (M1, M2, M3, P1):
            self.exposure.listed(known)
        ledger = Ledger(currency="USD")
        self.exposure.buffers.read(lambda: ledger.state, lambda _: (), lambda _: NOW)
        for tell in self.told:
            tell(self.exposure)
        self.gate = RiskGate(limits=self.limits, breakers=self.breakers, exposure=self.exposure)

    def tell(self, tell: Callable[[ExposureBook], None]) -> None:
        """Tell the exposure book, and again after a restart, as recovery does from the journal."""
        self.told.append(tell)
        tell(self.exposure)

    def restart(self) -> None:
        state = self.breakers.state()
        self.breakers = Breakers(self.limits)
        self.breakers.restore(state)
        self._build()

    def ask(self, size: int = 100 * SHARE, age_ns: int | None = 0, orders: int = 0, **more: Any):
        order = order_of(size=size, **more)
        return self.gate.check(order, reduces=lambda _: 0, mark_age_ns=age_ns, open_orders=orders)


def order_of(**changes: Any) -> Order:
    fields: dict[str, Any] = {
        "account": AccountId("a"),
        "id": OrderId(99),
        "bot": BOT,
        "instrument": M1.id,
        "leg": Leg.YES,
        "side": Side.BUY,
        "price": 4_000,
        "created_ns": 0,
    }
    return Order(**(fields | changes))


def live(known: Instrument, micro: int) -> Callable[[ExposureBook], None]:
    """Put so much at risk in an instrument: a live BUY at one half."""
    order = order_of(instrument=known.id, price=5_000, size=2 * micro)
    return lambda book: book.live(order, 2 * micro)


def others(micro: int) -> Callable[[ExposureBook], None]:
    return lambda book: setattr(book, "others_micro", micro)


@dataclass(frozen=True)
class Row:
    """One limit: a setting, a case just under (allowed in full), one just over, and its answer."""

    limit: str
    value: Any
    just_under: Callable[[Desk], Any]
    just_over: Callable[[Desk], Any]
    answer: DenyReason | int
    """The reason of the denial, or the size it is shrunk to."""


def exposure_row(name: str, tell: Callable[[int], Callable[[ExposureBook], None]]) -> Row:
    """60 of 100 are at risk elsewhere in the sum; 40 fit, one micro-unit more does not."""

    def case(desk: Desk, beside: int) -> Any:
        desk.tell(tell(beside))
        return desk.ask()

    return Row(
        limit=name,
        value=Limit(absolute=100),
        just_under=lambda desk: case(desk, 60_000_000),
        just_over=lambda desk: case(desk, 60_000_001),
        answer=99_999_997,
    )


def fallen(desk: Desk, micro: int) -> Any:
    desk.breakers.equity(EQUITY - micro, NOW + 1)
    return desk.ask()


def marked(desk: Desk, age_ms: int) -> Any:
    """Let the mark of a one-sided book reach the gate: its value decides about the day's loss."""
    book = BookMarked(
        instrument=M1.id,
        best_bid=None,
        best_ask=None,
        mid2=10_000,
        two_sided_ns=NOW - age_ms * 1_000_000,
        proof_ns=NOW,
        trusted=True,
    )
    age_ms_max = desk.limits.mark_age_ms_max
    held = Holding(instrument=M1.id)
    held.yes.settled = 100 * SHARE
    worth = exit_value_micro(held, M1, book, NOW, age_ms_max * 1_000_000)
    desk.breakers.equity(EQUITY - M1.cost_micro(5_000, 100 * SHARE) + worth, NOW)
    return desk.ask()


def bought(desk: Desk, mark_e8: int) -> Any:
    """Buy 100 of a perpetual at 0.4, isolated: 40 for a margin of 4, due is 0.5 % of its value.

    It is liquidated at (40 − 4) / (100 · 0.995) = 0.36180905, rounded up.
    """
    desk.exposure.buffers.marked(P1.id, mark_e8, NOW)
    return desk.ask(instrument=P1.id, leg=Leg.BASE)


TABLE = [
    Row(
        limit="order_value_min",
        value=Limit(absolute=40),
        just_under=lambda desk: desk.ask(),
        just_over=lambda desk: desk.ask(100 * SHARE - 3),
        answer=DenyReason.ORDER_TOO_SMALL,
    ),
    Row(
        limit="order_value_max",
        value=Limit(absolute=40),
        just_under=lambda desk: desk.ask(),
        just_over=lambda desk: desk.ask(100 * SHARE + 1),
        answer=100 * SHARE,
    ),
    exposure_row("exposure_instrument_max", lambda micro: live(M1, micro)),
    exposure_row("exposure_market_max", lambda micro: live(M2, micro)),
    exposure_row("exposure_bot_max", lambda micro: live(M3, micro)),
    exposure_row("exposure_account_max", lambda micro: live(M3, micro)),
    exposure_row("exposure_total_max", others),
    Row(
        limit="open_orders_max",
        value=7,
        just_under=lambda desk: desk.ask(orders=6),
        just_over=lambda desk: desk.ask(orders=7),
        answer=DenyReason.OPEN_ORDERS,
    ),
    Row(
        limit="daily_loss_max",
        value=Limit(percent=5),
        just_under=lambda desk: fallen(desk, 50_000_000),
        just_over=lambda desk: fallen(desk, 50_000_001),
        answer=DenyReason.DAILY_LOSS,
    ),
    Row(
        limit="drawdown_max",
        value=Limit(percent=15),
        just_under=lambda desk: fallen(desk, 150_000_000),
        just_over=lambda desk: fallen(desk, 150_000_001),
        answer=DenyReason.DRAWDOWN,
    ),
    Row(
        limit="kill_drawdown_max",
        value=Limit(percent=20),
        just_under=lambda desk: fallen(desk, 200_000_000),
        just_over=lambda desk: fallen(desk, 200_000_001),
        answer=DenyReason.LATCHED,
    ),
    Row(
        limit="liquidation_buffer_min",
        value=500,
        just_under=lambda desk: bought(desk, 38_085_164),
        just_over=lambda desk: bought(desk, 38_085_163),
        answer=DenyReason.LIQUIDATION_BUFFER,
    ),
    Row(
        limit="data_age_ms_max",
        value=3_000,
        just_under=lambda desk: desk.ask(age_ns=3_000_000_000),
        just_over=lambda desk: desk.ask(age_ns=3_000_000_001),
        answer=DenyReason.STALE_DATA,
    ),
    Row(
        limit="mark_age_ms_max",
        value=60_000,
        just_under=lambda desk: marked(desk, 60_000),
        just_over=lambda desk: marked(desk, 60_001),
        answer=DenyReason.DAILY_LOSS,
    ),
]


def desk_of(row: Row) -> Desk:
    setting = {row.limit: row.value}
    if row.limit == "mark_age_ms_max":
        setting["daily_loss_max"] = Limit(absolute=0)
    return Desk(**setting)


def test_every_limit_has_exactly_one_row() -> None:
    assert sorted(row.limit for row in TABLE) == sorted(RiskLimits.model_fields)


@pytest.mark.parametrize("restart", [False, True], ids=["running", "restarted"])
@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.limit)
def test_just_under_a_limit_is_allowed_in_full(row: Row, restart: bool) -> None:
    desk = desk_of(row)
    answer = row.just_under(desk)
    if restart:
        desk.restart()
        answer = row.just_under(desk)
    assert answer == Allowed(100 * SHARE)


@pytest.mark.parametrize("restart", [False, True], ids=["running", "restarted"])
@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.limit)
def test_just_over_a_limit_is_shrunk_or_denied(row: Row, restart: bool) -> None:
    desk = desk_of(row)
    answer = row.just_over(desk)
    if restart:
        desk.restart()
        answer = row.just_over(desk)
    if isinstance(answer, Denied):
        assert answer.reason is row.answer
    else:
        assert answer == Allowed(row.answer)


def text_of(row: Row) -> str:
    value = row.value
    if isinstance(value, Limit):
        value = f"{value.percent} %" if value.absolute is None else f"{value.absolute}"
    over = row.just_over(desk_of(row))
    told = f"denied: {over.reason}" if isinstance(over, Denied) else f"shrunk to {over.size}"
    desk = desk_of(row)
    row.just_over(desk)
    desk.restart()
    again = row.just_over(desk)
    return (
        f"| {row.limit} | {value} | allowed | {told} | {'the same' if again == over else again} |"
    )


def table() -> str:
    """Return the table as Markdown: each limit, just under, just over, after a restart."""
    head = (
        "| limit | set to | just under | just over | over, after a restart |\n|---|---|---|---|---|"
    )
    return "\n".join([head, *(text_of(row) for row in TABLE)])


def test_the_table_can_be_printed_and_restarts_change_nothing() -> None:
    lines = table().splitlines()
    assert len(lines) == len(RiskLimits.model_fields) + 2
    for line in lines[2:]:
        assert line.endswith("| the same |")


if __name__ == "__main__":
    print(table())
