"""Runs a rule that was built of conditions: entry, exit, close and emergency.

Idea: whatever its document says, read by the same check as on the page and the command line. It
loses wherever its conditions have no edge; that it can be said in words proves nothing. It looks at
the close of its bars and, where it looks at book, position or clock, each second.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

import msgspec
from pydantic import Field, field_validator

from engine.domain.bars import bar_spec
from engine.domain.catalog import GateWords, ValueWords
from engine.domain.decisions import Gate, Rest
from engine.domain.events import BarClosed, Event, OrderFilled
from engine.domain.instruments import BotId, Instrument, InstrumentId, Kind
from engine.domain.intents import Target
from engine.domain.money import MICRO
from engine.domain.products import opening_price
from engine.domain.rules import (
    CONDITIONS_MAX,
    AllOf,
    BarNumber,
    BookNumber,
    FixedNumber,
    IndicatorNumber,
    Operand,
    PositionNumber,
    RuleCondition,
    RuleDocument,
    RulePart,
    conditions_of,
    read_rule,
    rule_json,
)
from engine.domain.rules.templates import RSI_DIP
from engine.errors import BadInput
from engine.indicators.door import Variant
from engine.indicators.library import entries, fresh, kind_of
from engine.strategies.door import Context, Evaluation, Parameters, Reads, decided
from engine.strategies.taking import crossing_target, worst_price

S = 1_000_000_000
HOUR_NS = 3_600 * S
DAY_NS = 24 * HOUR_NS
MONDAY = 3
"""The weekday of 1970-01-01, Monday being 0."""
BPS = 10_000
NO_MOVE = 1 << 60
"""Twice a mid never moves so far: no book and no trade wakes it."""
DOCUMENT_MAX = 20_000
INDICATORS = entries()


class RulesParameters(Parameters):
    """The rule it runs."""

    document: Annotated[
        str, Field(max_length=DOCUMENT_MAX, json_schema_extra={"saved": "rules"})
    ] = rule_json(RSI_DIP)
    """The rule as JSON, or the name of a saved one in the form of a new bot.

    The default is the template `rsi_dip`, which claims no edge."""

    @field_validator("document")
    @classmethod
    def _runs(cls, text: str) -> str:
        try:
            return rule_json(runnable(text))
        except BadInput as error:
            raise ValueError(str(error)) from None


def runnable(text: str | bytes) -> RuleDocument:
    """Return a rule that this engine can run. Raises BadInput with one sentence."""
    document = read_rule(text, INDICATORS)
    reads_of(document)
    return document


def variant_of(used: IndicatorNumber) -> Variant:
    """Return the variant a rule names. Raises BadInput where it cannot be made."""
    return Variant.of(
        kind_of(used.name), bars=used.bars, mids=used.mids, other=used.other, **used.settings
    )


def reads_of(document: RuleDocument) -> Reads:
    """Return the bars and indicators a rule reads. Raises BadInput where there are none such."""
    bars: dict[str, int] = {}
    indicators: dict[str, Variant] = {}
    for condition in document.conditions:
        for side in (condition.left, condition.right):
            if isinstance(side, BarNumber):
                bars[side.bars] = max(bars.get(side.bars, 1), side.ago + 1)
            elif isinstance(side, IndicatorNumber):
                variant = variant_of(side)
                fresh(variant)
                indicators[variant.text] = variant
                if side.bars:
                    bars.setdefault(side.bars, 1)
    return Reads(bars=bars, indicators=indicators)


class RuleStanding(msgspec.Struct):
    """What the rule wants in one instrument, and what its conditions remember."""

    wanted: int = 0
    """The position it wants, in size increments, signed."""
    entered_ns: int = 0
    left_ns: int | None = None
    rest_until_ns: int = 0
    signs: list[int | None] = []
    """Of each condition: on which side left stood of right."""
    since_ns: list[int | None] = []
    """Of each condition: since when it is true."""


class RuleRunner:
    """Runs one rule document in all instruments of its bot."""

    name: ClassVar[str] = "rules"
    parameters_type: ClassVar[type[RulesParameters]] = RulesParameters
    gates: ClassVar[Mapping[str, GateWords]] = {
        "known": GateWords(
            "every number of the rule is known",
            "every number were known",
            "{value} of {limit} known",
            sign="≥",
            needed=True,
        ),
        "direction": GateWords("it can be sold short here", "it could be sold short here"),
        "rest": GateWords("no emergency holds it back", "the rest after the emergency were over"),
        "cool_down": GateWords("it has cooled down", "the cool-down were over"),
        "entry": GateWords("the entry conditions hold", "the entry conditions held"),
    }
    values: ClassVar[Mapping[str, ValueWords]] = {
        f"c{number}{side}": ValueWords(f"Condition {number}, {words}")
        for number in range(1, CONDITIONS_MAX + 1)
        for side, words in (("", "left"), ("_right", "right"))
    }
    touch_alone = False
    mid2_moved_min = NO_MOVE

    def __init__(self, parameters: RulesParameters, bot: BotId) -> None:
        self._document = document = runnable(parameters.document)
        del bot
        self._conditions = document.conditions
        self._texts = [(_text(one.left), _text(one.right)) for one in document.conditions]
        """Of each condition: the names of the variants it reads."""
        self._first: dict[str, int] = {}
        count = 0
        for name, part in document.sections.items():
            self._first[name] = count
            count += len(list(conditions_of(part)))
        self.reads = reads_of(document)
        self.references: tuple[str, ...] = ()
        self.replan_ns_min = 0
        self.timer_ns = S if _looks_between_bars(document) else HOUR_NS
        self._standing: dict[InstrumentId, RuleStanding] = {}

    # -- Strategy ----------------------------------------------------------------------------------

    def receive(self, event: Event, now_ns: int) -> bool:
        """Wake at the close of a bar it reads."""
        del now_ns
        return type(event) is BarClosed and event.bars in self.reads.bars

    def filled(self, instrument: InstrumentId, event: OrderFilled, now_ns: int) -> None:
        """Learn nothing: what is held comes with each evaluation."""

    def evaluate(self, context: Context, now_ns: int) -> Evaluation:
        """Look at every condition once, and move between in and out of the position."""
        key = context.view.instrument.id
        standing = self._standing.setdefault(key, RuleStanding())
        numbers = [
            (
                _number(condition.left, texts[0], context, standing, now_ns),
                _number(condition.right, texts[1], context, standing, now_ns),
            )
            for condition, texts in zip(self._conditions, self._texts, strict=True)
        ]
        true = self._truths(standing, numbers, now_ns)
        gates = self._moved(context, standing, numbers, true, now_ns)
        intent = self._intent(context, standing, now_ns)
        inputs = tuple(
            (f"c{place}{side}", value)
            for place, pair in enumerate(numbers, 1)
            for side, value in zip(("", "_right"), pair, strict=True)
            if value is not None
        )
        decision = decided(
            context,
            now_ns,
            regime="in" if standing.wanted else "out",
            gates=gates,
            inputs=inputs,
            intent=intent,
            acts="target",
        )
        rest = None
        if standing.rest_until_ns > now_ns:
            rest = Rest(standing.rest_until_ns, "an emergency condition of its rule held")
        return Evaluation(decision=decision, intents=(intent,) if intent else (), rest=rest)

    def _truths(
        self, standing: RuleStanding, numbers: list[tuple[float | None, float | None]], now_ns: int
    ) -> list[bool]:
        """Return which conditions hold, and remember on which side each stands since when."""
        count = len(self._conditions)
        if len(standing.signs) != count:
            standing.signs, standing.since_ns = [None] * count, [None] * count
        found = []
        for place, (condition, (left, right)) in enumerate(
            zip(self._conditions, numbers, strict=True)
        ):
            if left is None or right is None:
                standing.since_ns[place] = None
                found.append(False)
                continue
            before, sign = standing.signs[place], (left > right) - (left < right)
            holds = _holds(condition, before, sign)
            if sign or before is None:
                standing.signs[place] = sign or before
            if not holds:
                standing.since_ns[place] = None
            elif standing.since_ns[place] is None:
                standing.since_ns[place] = now_ns
            since_ns = standing.since_ns[place]
            found.append(since_ns is not None and now_ns - since_ns >= condition.for_s * S)
        return found

    def _true(self, name: str, true: list[bool]) -> bool:
        """Say whether a section of the document holds; one that is not there never does."""
        part = self._document.sections.get(name)
        return part is not None and _part_true(part, iter(true[self._first[name] :]))

    def _moved(
        self,
        context: Context,
        standing: RuleStanding,
        numbers: list[tuple[float | None, float | None]],
        true: list[bool],
        now_ns: int,
    ) -> tuple[Gate, ...]:
        """Enter or leave, and give the gates that were looked at."""
        document, kind = self._document, context.view.instrument.kind
        held = context.inventory.position
        if standing.wanted or held:
            emergency = self._true("emergency", true)
            if emergency or self._true("close", true) or self._true("exit", true):
                standing.wanted, standing.left_ns = 0, now_ns
                if emergency:
                    standing.rest_until_ns = now_ns + int(document.emergency_rest_s * S)
            return ()
        entry = range(len(list(conditions_of(document.entry))))
        known = sum(None not in numbers[place] for place in entry)
        left_ns = standing.left_ns
        cooled_s = None if left_ns is None else (now_ns - left_ns) / S
        cool = cooled_s is None or cooled_s >= document.cool_down_s
        wait_s = max(0.0, (standing.rest_until_ns - now_ns) / S)
        short = document.direction == "short"
        gates = (
            Gate("known", known == len(entry), float(known), float(len(entry))),
            Gate("direction", not short or kind is not Kind.SPOT, float(short), 0.0),
            Gate("rest", wait_s <= 0.0, wait_s, 0.0),
            Gate("cool_down", cool, cooled_s or 0.0, document.cool_down_s),
            Gate("entry", self._true("entry", true), float(sum(true[: len(entry)])), len(entry)),
            *self.entry_gates(context, now_ns),
        )
        if all(gate.passed for gate in gates) and not context.reducing:
            standing.wanted = self._size(context)
            standing.entered_ns = now_ns
        return gates

    def entry_gates(self, context: Context, now_ns: int) -> tuple[Gate, ...]:
        """Return what an entry needs besides the document's conditions: nothing."""
        del context, now_ns
        return ()

    def _size(self, context: Context) -> int:
        """Return the position the rule's share of the capital pays for, signed."""
        instrument, long = context.view.instrument, self._document.direction == "long"
        limit = self._limit(context, buying=long)
        if limit is None:
            return 0
        cost = opening_price(instrument.product, limit, long=long)
        funds = min(
            context.capital_micro * self._document.share, float(context.inventory.cash_free_micro)
        )
        size = int(funds * instrument.value_divisor / max(1, cost)) // instrument.lot
        return size * instrument.lot * (1 if long else -1)

    def _limit(self, context: Context, *, buying: bool) -> int | None:
        """Return the worst price; None = the book has no such side, or is not trusted."""
        return worst_price(context.view, self._document.slippage_bps_max, buying=buying)

    def _intent(self, context: Context, standing: RuleStanding, now_ns: int) -> Target | None:
        """Return what takes the position from what is held to what is wanted; None = nothing."""
        held = context.inventory.position
        if held == standing.wanted:
            return None
        limit = self._limit(context, buying=standing.wanted > held)
        if limit is None:
            return None
        return crossing_target(context, context.view, standing.wanted, limit, now_ns + HOUR_NS)

    def forget(self, instrument: InstrumentId) -> None:
        """Drop an instrument."""
        self._standing.pop(instrument, None)

    def state(self) -> bytes:
        """Return what is wanted where, and what the conditions remember."""
        return msgspec.json.encode(self._standing)

    def restore(self, state: bytes) -> None:
        """Take back what `state` gave. Raises BadInput where it cannot be read."""
        try:
            kept = (
                msgspec.json.decode(state, type=dict[InstrumentId, RuleStanding]) if state else {}
            )
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise BadInput(f"its state cannot be read: {error}") from None
        self._standing = kept


def _looks_between_bars(document: RuleDocument) -> bool:
    """Say whether a rule can change its mind while no bar closes."""
    conditions = document.conditions
    sides = [side for one in conditions for side in (one.left, one.right)]
    bars = (FixedNumber, BarNumber)
    fed = all(
        isinstance(one, bars) or (isinstance(one, IndicatorNumber) and one.bars) for one in sides
    )
    return not fed or any(one.for_s for one in conditions)


def _holds(condition: RuleCondition, before: int | None, sign: int) -> bool:
    """Say whether a comparison holds; `sign` = on which side left stands of right now."""
    match condition.compare:
        case ">":
            return sign > 0
        case ">=":
            return sign >= 0
        case "<":
            return sign < 0
        case "<=":
            return sign <= 0
        case "crosses above":
            return before is not None and before < 0 < sign
        case _:
            return before is not None and sign < 0 < before


def _part_true(part: RulePart, true: Iterator[bool]) -> bool:
    """Say whether a part holds; `true` gives its conditions in order, and all of them are taken."""
    if isinstance(part, RuleCondition):
        return next(true)
    found = [_part_true(one, true) for one in part.parts]
    return all(found) if isinstance(part, AllOf) else any(found)


# -- the numbers -----------------------------------------------------------------------------------


def _text(operand: Operand) -> str:
    """Return the name of the variant an operand reads; empty = it reads none."""
    return variant_of(operand).text if isinstance(operand, IndicatorNumber) else ""


def _number(
    operand: Operand, text: str, context: Context, standing: RuleStanding, now_ns: int
) -> float | None:
    """Return a number as it stands; None = it is not known. `text` = the variant it reads."""
    match operand:
        case FixedNumber(value=value):
            return value
        case IndicatorNumber():
            return context.readings.indicator(text)
        case BarNumber():
            return _of_bar(operand, context)
        case BookNumber(field=field):
            return _of_book(field, context)
        case PositionNumber(field=field):
            return _of_position(field, context, standing, now_ns)
        case _:
            return _of_time(operand.field, context.view.instrument, now_ns)


def _of_bar(operand: BarNumber, context: Context) -> float | None:
    bars = context.readings.bars(operand.bars, operand.ago + 1)
    if len(bars) <= operand.ago:
        return None
    bar, instrument = bars[0], context.view.instrument
    if operand.field == "volume":
        return bar.volume / 10.0**instrument.size_decimals
    price: int = getattr(bar, operand.field)
    return price / (bar_spec(operand.bars).per_increment * instrument.price_unit)


def _of_book(field: str, context: Context) -> float | None:
    book, instrument = context.view.book, context.view.instrument
    if not context.view.trusted or not book.bid_prices or not book.ask_prices:
        return None
    bid, bid_size, ask, ask_size = book.touch
    unit, lots = float(instrument.price_unit), 10.0**instrument.size_decimals
    match field:
        case "bid":
            return bid / unit
        case "ask":
            return ask / unit
        case "mid":
            return (bid + ask) / 2 / unit
        case "spread":
            return (ask - bid) / unit
        case "bid size":
            return bid_size / lots
        case "ask size":
            return ask_size / lots
        case _:
            return (bid_size - ask_size) / (bid_size + ask_size)


def _of_position(field: str, context: Context, standing: RuleStanding, now_ns: int) -> float | None:
    inventory, instrument = context.inventory, context.view.instrument
    position, average = inventory.position, inventory.average_price
    if not position or average is None:
        return None
    if field == "size":
        return position / 10.0**instrument.size_decimals
    if field == "seconds held":
        return (now_ns - standing.entered_ns) / S
    if field == "average price":
        return average / instrument.price_unit
    touch = context.view.best_bid if position > 0 else context.view.best_ask
    if touch is None:
        return None
    gain = (touch - average) * (1 if position > 0 else -1)
    if field == "profit":
        return gain * abs(position) / instrument.value_divisor / MICRO
    product = instrument.product
    of_second = position < 0 and product.second is not None
    return 100.0 * gain / max(1, product.one - average if of_second else average)


def _of_time(field: str, instrument: Instrument, now_ns: int) -> float | None:
    if field == "seconds to close":
        return None if instrument.closes_ns is None else (instrument.closes_ns - now_ns) / S
    of_day = now_ns % DAY_NS
    if field == "hour":
        return float(of_day // HOUR_NS)
    if field == "minute":
        return float(of_day % HOUR_NS // (60 * S))
    return float((now_ns // DAY_NS + MONDAY) % 7)
