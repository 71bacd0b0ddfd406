"""Strategies that buy one side of a binary and hold it. Base of those that judge a price.

A subclass looks at the touch and says which side it would buy, how large a part of the capital, and
what it believes. Taken is what the far touch offers, or a price a stated offset better is rested
at. What is held is held until the market pays, unless the judgement says to leave.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, NamedTuple

from pydantic import Field

from engine.domain.catalog import GateWords, ValueUnit, ValueWords
from engine.domain.decisions import Gate
from engine.domain.events import Event, OrderFilled
from engine.domain.instruments import BotId, Instrument, InstrumentId, Kind
from engine.domain.intents import Target, Urgency
from engine.strategies.door import Claim, Context, Evaluation, Parameters, decided

S = 1_000_000_000
DAY_NS = 86_400 * S
LOOK_NS = 10 * S


class BetParameters(Parameters):
    """How a side is bought."""

    limit_offset: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    """How much better than the far touch its price is, in the currency; 0 = it takes the touch.

    Nothing: a resting order is filled first where the price is about to move against it."""
    share: Annotated[float, Field(gt=0.0, le=1.0)] = 0.1
    """Most of the capital in one market, 0 to 1.

    A tenth: one outcome may cost all of it."""
    spread_max: Annotated[float, Field(gt=0.0, le=1.0)] = 0.05
    """Widest spread it trades at, in the currency.

    Five cents: wider, the mid says little of what a share is worth."""


class Bet(NamedTuple):
    """What a subclass makes of a market."""

    side: int = 0
    """1 = it would buy YES, -1 = NO, 0 = neither."""
    part: float = 0.0
    """Part of the capital, 0 to 1, before `share` bounds it."""
    leaves: bool = False
    """True = what is held is sold."""
    fair: float | None = None
    """Believed probability of YES; None = it has none."""
    confidence: float = 1.0
    gates: tuple[Gate, ...] = ()
    values: tuple[tuple[str, float], ...] = ()


class BetTouch(NamedTuple):
    """The touch of a binary in the currency, and what taking it costs in fees, a share."""

    bid: float
    ask: float
    bid_fee: float
    ask_fee: float

    @property
    def mid(self) -> float:
        return (self.bid + self.ask) / 2.0


def gate_between(name: str, value: float, low: float, high: float) -> Gate:
    """Return a gate that passes from `low` to `high`; its limit is the end that is nearer."""
    limit = low if value < (low + high) / 2.0 else high
    return Gate(name, low <= value <= high, value, limit)


class BinaryBet:
    """Base of a strategy of this kind. A subclass has a name, parameters, words and `judge`."""

    name: ClassVar[str]
    parameters_type: ClassVar[type[BetParameters]]
    gates: ClassVar[Mapping[str, GateWords]] = {}
    values: ClassVar[Mapping[str, ValueWords]] = {}
    references: tuple[str, ...] = ()
    touch_alone = True
    mid2_moved_min = 0

    def __init__(self, parameters: Any, bot: BotId) -> None:
        self.parameters = parameters
        self._bot = bot
        self.replan_ns_min = S
        self.timer_ns = LOOK_NS

    def judge(self, context: Context, touch: BetTouch, now_ns: int) -> Bet:
        """Say which side to buy at this touch, and why."""
        raise NotImplementedError

    # -- Strategy ----------------------------------------------------------------------------------

    def receive(self, event: Event, now_ns: int) -> bool:
        """Wake on a change of the touch alone: the core sees to that."""
        del event, now_ns
        return False

    def filled(self, instrument: InstrumentId, event: OrderFilled, now_ns: int) -> None:
        """Learn nothing: what is held comes with each evaluation."""

    def evaluate(self, context: Context, now_ns: int) -> Evaluation:
        """Judge the touch; state the position that follows, as long as the judgement stands."""
        view, p = context.view, self.parameters
        bid, ask = view.best_bid, view.best_ask
        if bid is None or ask is None or not view.trusted:
            return self._decided(context, now_ns, Bet(gates=(Gate("two_sided", False, 0.0, 0.0),)))
        if view.instrument.kind is not Kind.BINARY:
            return self._decided(context, now_ns, Bet(gates=(Gate("binary", False, 0.0, 0.0),)))
        touch = _touch(view.instrument, bid, ask)
        bet = self.judge(context, touch, now_ns)
        spread = Gate(
            "spread",
            touch.ask - touch.bid <= p.spread_max + 1e-9,
            touch.ask - touch.bid,
            p.spread_max,
        )
        gates = (spread, *bet.gates)
        have = context.inventory.position
        if have and bet.leaves:
            limit = bid if have > 0 else ask
            return self._want(context, now_ns, bet._replace(gates=gates), 0, limit)
        if context.reducing or not bet.side or not all(gate.passed for gate in gates):
            return self._decided(context, now_ns, bet._replace(gates=gates))
        if have and (have > 0) != (bet.side > 0):
            return self._decided(context, now_ns, bet._replace(gates=gates))
        limit, size = _size(context, touch, bet, min(bet.part, p.share), p.limit_offset)
        wanted = max(abs(have), size) * bet.side
        return self._want(context, now_ns, bet._replace(gates=gates), wanted, limit)

    def _want(
        self, context: Context, now_ns: int, bet: Bet, position: int, limit: int
    ) -> Evaluation:
        if position == context.inventory.position:
            return self._decided(context, now_ns, bet)
        rests = bool(self.parameters.limit_offset) and position != 0
        intent = Target(
            bot=self._bot,
            instrument=context.view.instrument.id,
            position=position,
            limit_price=limit,
            urgency=Urgency.REST if rests else Urgency.CROSS,
            valid_until_ns=now_ns + 3 * LOOK_NS,
            confidence=bet.confidence,
            decision=context.decision,
        )
        return self._decided(context, now_ns, bet, intent)

    def _decided(
        self, context: Context, now_ns: int, bet: Bet, intent: Target | None = None
    ) -> Evaluation:
        have = context.inventory.position
        decision = decided(
            context,
            now_ns,
            regime="yes" if have > 0 else "no" if have < 0 else "flat",
            gates=bet.gates,
            inputs=bet.values,
            intent=intent,
        )
        claim = None if bet.fair is None else Claim(fair=bet.fair, confidence=bet.confidence)
        return Evaluation(decision=decision, intents=(intent,) if intent else (), claim=claim)

    def forget(self, instrument: InstrumentId) -> None:
        """Keep nothing of it anyway."""

    def state(self) -> bytes:
        """Return nothing: all it needs is in the market and in what is held."""
        return b""

    def restore(self, state: bytes) -> None:
        """Take nothing back."""


GATES: Mapping[str, GateWords] = {
    "binary": GateWords("the market pays 0 or 1", "the market paid 0 or 1", needed=True),
    "two_sided": GateWords(
        "the book has both sides",
        "the book had both sides",
        "one side of the book is empty",
        needed=True,
    ),
    "spread": GateWords(
        "the spread is narrow enough",
        "the spread were narrower",
        "spread {value} of at most {limit}",
        sign="≤",
    ),
}
VALUES: Mapping[str, ValueWords] = {
    "mid": ValueWords("Mid", ValueUnit.PRICE),
    "edge": ValueWords("Edge after fees, a share", ValueUnit.PRICE),
    "fair": ValueWords("Fair probability of YES", ValueUnit.PRICE),
    "days_to_close": ValueWords("Days to the announced close"),
}
"""Words of what several of them look at."""


def days_to_close(instrument: Instrument, now_ns: int) -> float | None:
    """Return the days until trading ends as announced; None = no end is announced."""
    closes_ns = instrument.closes_ns
    return None if closes_ns is None else (closes_ns - now_ns) / DAY_NS


def _touch(instrument: Instrument, bid: int, ask: int) -> BetTouch:
    size, unit = 10 ** (instrument.size_decimals + 2), instrument.price_unit
    fees = (instrument.taker_fee_micro(price, size) / 1e8 for price in (bid, ask))
    return BetTouch(bid / unit, ask / unit, *fees)


def _size(
    context: Context, touch: BetTouch, bet: Bet, part: float, offset: float
) -> tuple[int, int]:
    """Return the worst price it pays, as a level of YES, and the size the money buys at it."""
    instrument = context.view.instrument
    unit, tick = instrument.price_unit, instrument.tick
    level = touch.ask - offset if bet.side > 0 else touch.bid + offset
    limit = min(unit - tick, max(tick, round(level * unit / tick) * tick))
    price = limit if bet.side > 0 else unit - limit
    fee = touch.ask_fee if bet.side > 0 else touch.bid_fee
    money = min(context.capital_micro * part, float(context.inventory.cash_free_micro))
    size = int(money * instrument.value_divisor / (price + fee * unit))
    return limit, size // instrument.lot * instrument.lot
