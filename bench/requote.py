"""The workload's maker as a strategy behind our door: requote when the mid moved a tick."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from bench.workload import SIZE
from engine.domain.catalog import GateWords, ValueWords
from engine.domain.decisions import Decision
from engine.domain.events import Event, OrderFilled
from engine.domain.instruments import InstrumentId
from engine.domain.intents import Quotes
from engine.strategies.door import Context, Evaluation, Parameters

QUOTE_SIZE = 10 * SIZE
POSITION_MAX = 1000 * SIZE
FOREVER_NS = 10**19


class Requote:
    """See `bench.workload` for the rule."""

    name: ClassVar[str] = "requote"
    parameters_type: ClassVar[type[Parameters]] = Parameters
    gates: ClassVar[Mapping[str, GateWords]] = {}
    values: ClassVar[Mapping[str, ValueWords]] = {}
    replan_ns_min = 0
    timer_ns = 3_600_000_000_000
    references: tuple[str, ...] = ()
    mid2_moved_min = 2
    touch_alone = False

    def __init__(self) -> None:
        self._quoted: int | None = None
        self._bids: tuple[tuple[int, int], ...] = ()
        self._asks: tuple[tuple[int, int], ...] = ()
        self._filled = False

    def receive(self, event: Event, now_ns: int) -> bool:
        """Nothing but a moved mid wakes it."""
        return False

    def filled(self, instrument: InstrumentId, event: OrderFilled, now_ns: int) -> None:
        """Note that a quote was hit: the rule does not renew it before the mid moves."""
        self._filled = True

    def evaluate(self, context: Context, now_ns: int) -> Evaluation:
        """Requote where the mid moved by a tick."""
        view = context.view
        bids, asks = view.book.bid_prices, view.book.ask_prices
        moved = bool(bids and asks)
        m2 = bids[-1] + asks[0] if moved else 0
        moved = moved and (self._quoted is None or abs(m2 - self._quoted) >= 2)
        quotes = None
        inventory = context.inventory
        if moved:
            self._quoted = m2
            position = inventory.position
            self._bids = (((m2 - 4) // 2, QUOTE_SIZE),) if position < POSITION_MAX else ()
            self._asks = (((m2 + 5) // 2, QUOTE_SIZE),) if position > -POSITION_MAX else ()
        elif self._filled:
            # What was filled is not renewed: from now on only what still works is wanted.
            self._bids = _left(self._bids, inventory.working_bid)
            self._asks = _left(self._asks, inventory.working_ask)
        if moved or self._filled:
            self._filled = False
            quotes = Quotes(
                bot=context.bot,
                instrument=view.instrument.id,
                bids=self._bids,
                asks=self._asks,
                valid_until_ns=FOREVER_NS,
                decision=context.decision,
            )
        return _evaluation(context, float(m2), quotes, now_ns)

    def forget(self, instrument: InstrumentId) -> None:
        """Forget the last quote."""
        self._quoted = None

    def state(self) -> bytes:
        """Return the last quoted mid."""
        return str(self._quoted).encode()

    def restore(self, state: bytes) -> None:
        """Take the last quoted mid back."""
        self._quoted = None if state == b"None" else int(state)


def _evaluation(context: Context, m2: float, quotes: Quotes | None, now_ns: int) -> Evaluation:
    decision = Decision(
        number=context.decision,
        bot=context.bot,
        instrument=context.view.instrument.id,
        at_ns=now_ns,
        regime="quiet",
        inputs=(("m2_ticks", m2),),
        build_up=(),
        gates=(),
        outcome="quote" if quotes else "hold",
        intent=quotes,
    )
    return Evaluation(decision=decision, intents=(quotes,) if quotes else ())


def _left(quotes: tuple[tuple[int, int], ...], size: int) -> tuple[tuple[int, int], ...]:
    return ((quotes[0][0], size),) if quotes and size else ()
