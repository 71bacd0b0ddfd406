"""What indicators and strategies owe: words, one answer to one input, state that goes on."""

from __future__ import annotations

import enum
import math
import random
from collections.abc import Container, Iterator, Sequence
from functools import cache
from pathlib import Path
from threading import get_ident
from typing import Any, NamedTuple, get_args

import msgspec

from engine.bots.core import AccountCore
from engine.bots.signals import FAILS
from engine.caches.markets import MarketCache
from engine.caches.views import Observations, ObservedView, References, ReferenceView
from engine.clock import WallClock
from engine.contracts.imports import by_the_back_door, impurities
from engine.domain.bars import BarUnit, bar_spec
from engine.domain.books import Book
from engine.domain.bots import BotState
from engine.domain.catalog import GateWords
from engine.domain.decisions import Decision
from engine.domain.events import (
    BookReplaced,
    Event,
    InstrumentListed,
    ReferencePriced,
    TradePrinted,
)
from engine.domain.instruments import BotId, Instrument, InstrumentId, Kind, Mode, Side
from engine.domain.intents import Intent, Quotes, Target
from engine.domain.money import MICRO
from engine.domain.observed_events import Observed, observed
from engine.domain.settings import AccountSettings, BotSettings
from engine.errors import BadInput, PitbossError
from engine.indicators.door import (
    BarIndicator,
    BookIndicator,
    Feed,
    Indicator,
    PairIndicator,
    PriceBar,
    PriceIndicator,
    TradeIndicator,
    Variant,
    settings_of,
)
from engine.runtime.bot_runner import bot_of
from engine.runtime.recovery import executor_of
from engine.runtime.turn_watch import BUDGET_S, TurnWatch
from engine.strategies.bar_rule import BarRule, Seen, Wish
from engine.strategies.door import Reads
from engine.strategies.registry import build, declared_of, restore_state

# -- indicators ------------------------------------------------------------------------------------

S = 1_000_000_000
T0 = 1_760_000_000 * S
WARM, LONG = 4_000, 20_000
CUTS = (0, 1, 7, 40, 900)
SLACK = 40
"""Numbers by which a state may breathe: a queue of extremes is at most its window long."""


class Moment(NamedTuple):
    """What may happen to an indicator at one time."""

    now_ns: int
    price: float
    other: float
    """Of the other instrument of a pair."""
    close: float
    lots: int


@cache
def _moments() -> tuple[Moment, ...]:
    """Return a seeded market, the same for every indicator."""
    chance = random.Random(5)  # noqa: S311 a market, not a secret
    price, now_ns, made = 100.0, T0, list[Moment]()
    for _ in range(WARM + LONG):
        now_ns += chance.randrange(1, 3 * S)
        price *= 1.0 + chance.gauss(0.0, 0.002)
        other = 50.0 * (1.0 + chance.gauss(0.0, 0.002))
        close = price * (1.0 + chance.gauss(0.0, 0.001))
        made.append(Moment(now_ns, price, other, close, chance.randrange(1, 50)))
    return tuple(made)


class Market:
    """Feeds any indicator what it takes, moment by moment, from the one of this number on."""

    def __init__(self, moment: int = 0) -> None:
        self._moments, self.moment = _moments(), moment

    @property
    def now_ns(self) -> int:
        """The time of the latest moment."""
        return self._moments[self.moment - 1].now_ns

    def feed(self, indicator: Indicator) -> None:
        """Let one thing happen. Raises BadInput for an indicator that nothing feeds."""
        now_ns, price, other, close, lots = self._moments[self.moment]
        self.moment += 1
        match indicator:
            case PairIndicator():
                indicator.on_other(other, now_ns)
                indicator.on_price(price, now_ns)
            case PriceIndicator():
                indicator.on_price(price, now_ns)
            case TradeIndicator():
                indicator.on_trade(price, lots / 8, now_ns)
            case BookIndicator():
                indicator.on_book(self._book(price), now_ns)
            case BarIndicator():
                high, low = max(price, close) * 1.001, min(price, close) * 0.999
                indicator.on_bar(PriceBar(price, high, low, close, float(lots)))
            case _:
                raise BadInput("it is fed by none of PriceIndicator, TradeIndicator, BookIndicator")

    def _book(self, price: float) -> Book:
        """Return five levels a side whose sizes and spread differ from moment to moment."""
        book, mid, turn = Book(), round(price * 10), self.moment * 7_919
        bids = [(mid - 1 - depth, 1 + (turn + depth * 31) % 98) for depth in range(5)]
        ask = mid + 1 + turn % 3
        book.replace(bids, [(ask + depth, 1 + (turn + depth * 57) % 98) for depth in range(5)])
        return book


def check_indicator(kind: type[Indicator], file: Path | None = None) -> Iterator[str]:
    """Give a sentence for everything an indicator owes and does not keep."""
    yield from _indicator_words(kind)
    if file is not None:
        yield from impurities(file)
    try:
        yield from _numbers(kind)
        yield from _goes_on(kind)
        yield from _settings(kind)
    except Exception as error:  # noqa: BLE001 whatever it raises is what is wrong with it
        yield f"it raises {type(error).__name__}: {error}"


def _indicator_words(kind: type[Indicator]) -> Iterator[str]:
    for name in ("name", "title", "formula", "source", "unit"):
        said = getattr(kind, name, "")
        if not isinstance(said, str) or not said or said.strip() != said:
            yield f"its {name} is {said!r}: a text without spaces around it"
    if not kind.__doc__:
        yield "it has no docstring"
    for name, setting in settings_of(kind).items():
        if not setting.description:
            yield f"its setting {name} has no description"


def _numbers(kind: type[Indicator]) -> Iterator[str]:
    if kind().value(T0) is not None:
        yield "it knows a number before anything came: give None"
    indicator, market = kind(), Market()
    for _ in range(WARM):
        market.feed(indicator)
    number = indicator.value(market.now_ns)
    if number is None or not -1e9 < number < 1e9:
        yield f"after {WARM:,} events its number is {number}: a finite one is expected"
    before = _size(msgspec.to_builtins(indicator))
    for _ in range(LONG):
        market.feed(indicator)
    after = _size(msgspec.to_builtins(indicator))
    if after > before + SLACK:
        yield f"its memory grows: {before} numbers after {WARM:,} events, {after} {LONG:,} later"


def _goes_on(kind: type[Indicator]) -> Iterator[str]:
    for cut in CUTS:
        whole, market = kind(), Market()
        for _ in range(cut):
            market.feed(whole)
        again = msgspec.msgpack.decode(msgspec.msgpack.encode(whole), type=kind)
        other = Market(market.moment)
        for _ in range(1_500):
            market.feed(whole)
            other.feed(again)
        if msgspec.msgpack.encode(whole) != msgspec.msgpack.encode(again):
            yield f"kept and read back after {cut} events, it goes on with other numbers"


def _settings(kind: type[Indicator]) -> Iterator[str]:
    fed: dict[str, str] = {}
    if kind.feed is Feed.BARS:
        fed = {"bars": "1m"}
    elif kind.feed is Feed.PAIRS:
        fed = {"other": "demo:BTC"}
    variant = Variant.of(kind, **fed)  # type: ignore[arg-type]
    if msgspec.json.decode(msgspec.json.encode(variant), type=Variant) != variant:
        yield "the variant of its defaults is another one when it is read back"
    for name in settings_of(kind):
        try:
            Variant.of(kind, **fed, **{name: -1})  # type: ignore[arg-type]
        except BadInput:
            continue
        yield f"its setting {name} takes -1: give it bounds"


def _size(value: Any) -> int:
    """Return how many numbers a state holds."""
    if isinstance(value, dict):
        return sum(map(_size, value.values()))
    return sum(map(_size, value)) if isinstance(value, list | tuple) else 1


# -- strategies ------------------------------------------------------------------------------------
SECONDS = 240
"""Moves of a trial at least: one a second where no bars are read."""
CAPITAL = 1_000.0
STATE_BYTES_MAX = 64 * 1024
"""Of one market: what a strategy learns of it must not grow with time."""

GROWTH_MAX = 1.5
"""How many times as large its state may be after twice the time."""
GROWTH_BYTES = 512
"""And so many bytes more: numbers get longer."""
MOVES_A_BAR = 4
"""Moves of the market in one bar."""
BARS_MORE = 20
"""Bars a trial goes on after twice of what it needs to be warm."""
CAPITAL_TIMES = 3.0
"""The account has so many times its capital: more than it may ask for."""

BINARY = Instrument(
    id=InstrumentId("contract:binary"),
    kind=Kind.BINARY,
    currency="pUSD",
    price_decimals=4,
    size_decimals=6,
    tick=100,
    lot=10_000,
    starts_ns=T0,
    closes_ns=T0 + 365 * 86_400 * S,
    strike_e8=100_000 * 10**8,
    series="contract-updown",
)


def _hold_wish(strategy: object) -> None:
    """Have a rule of bars raise BadInput where `wish` gave what cannot be wished for.

    At work the rule stops all the same, but somewhere in the arithmetic of its base.
    """
    if not isinstance(strategy, BarRule):
        return
    asked = strategy.wish

    def wish(seen: Seen) -> Wish | None:
        found: object = asked(seen)
        if found is None:
            return None
        part = found.part if isinstance(found, Wish) else math.nan
        if part is not None and not (isinstance(part, int | float) and 0.0 <= part <= 1.0):
            raise BadInput(f"wish gave {found!r}: give None, or Wish(part) with a part of 0 to 1")
        return found  # type: ignore[return-value]

    vars(strategy)["wish"] = wish


class _DeclaredReferences(References):
    """References that raise BadInput for a key that the strategy did not declare.

    At work it would find it while another bot has it received, and not find it otherwise.
    """

    __slots__ = ("_declared",)

    def __init__(self, declared: Container[str]) -> None:
        super().__init__()
        self._declared = declared

    def get(self, key: str) -> ReferenceView | None:
        if key not in self._declared:
            raise BadInput(f"reference {key} is not declared: name it in `references`")
        return super().get(key)


class _DeclaredObservations(Observations):
    """The same of what somebody outside said."""

    __slots__ = ("_declared",)

    def __init__(self, declared: Container[str]) -> None:
        super().__init__()
        self._declared = declared

    def last(self, key: str) -> ObservedView | None:
        self._look(key)
        return super().last(key)

    def kept(self, key: str) -> Sequence[ObservedView]:
        self._look(key)
        return super().kept(key)

    def _look(self, key: str) -> None:
        if key not in self._declared:
            raise BadInput(f"{key} is not declared: name it in `observes`")


class _DeclaredCache(MarketCache):
    """The market as a strategy declared that it looks at it."""

    def __init__(self, references: Container[str], observes: Container[str]) -> None:
        super().__init__()
        self.references = _DeclaredReferences(references)
        self.observed = _DeclaredObservations(observes)


class Trial:
    """One bot of a strategy at an account of its own, over a seeded market."""

    def __init__(self, name: str, seed: int, *, turns: bool = False) -> None:
        account = AccountSettings(name="paper", venue="contract", mode=Mode.PAPER)
        settings = BotSettings(
            name="bot", strategy=name, account="paper", capital=CAPITAL, instruments=(BINARY.id,)
        )
        executor, _ = executor_of(account, 1)
        executor.resume()
        executor.ledger.move_cash(round(CAPITAL_TIMES * CAPITAL * MICRO))
        self.bot = bot_of(settings, executor.account)
        _hold_wish(self.bot.strategy)
        self.decisions: list[Decision] = []
        cache = _DeclaredCache(self.bot.declared.references, self.bot.observes)
        self.core = AccountCore(
            cache=cache, executor=executor, bots=(), decide=self.decisions.append
        )
        self.core.begin(T0)
        self.pace_ns, self.moves = pace_of(self.bot.reads)
        self._chance = random.Random(seed)  # noqa: S311 a market, not a secret
        self._mid = 5_000
        self._reference = 100_000.0
        half = self.moves // 2
        self.market = [self._moves(T0 + i * self.pace_ns) for i in range(1, half + 1)]
        """What happens, a move after the other."""
        if turns:
            self._chance.seed(seed + 1)  # nothing after the middle is as it was
        later = range(half + 1, self.moves + 1)
        self.market += [self._moves(T0 + i * self.pace_ns) for i in later]
        self.bot.state = BotState.RUNNING
        self.core.add(self.bot, T0)
        self.core.received((InstrumentListed(instrument=BINARY),), T0)
        self.now_ns = T0
        self.half_state = 0
        """Bytes of its state when half of the market was over."""

    @property
    def middle_ns(self) -> int:
        """When half of the market is over."""
        return T0 + self.moves // 2 * self.pace_ns

    def run(self, *, restarts: bool = False) -> None:
        """Let the market move, and the bot be asked whenever it wants.

        `restarts` = in the middle it goes on as another object, from what it kept. A strategy that
        takes too long is interrupted, as live.
        """
        with TurnWatch(
            lambda: [self.core], None, clock=WallClock(), thread=get_ident(), budget_s=BUDGET_S
        ):
            self._run(restarts=restarts)

    def _run(self, *, restarts: bool) -> None:
        for i, events in enumerate(self.market):
            if restarts and i == self.moves // 2:
                fresh = build(self.bot.strategy.name, {}, self.bot.name)
                restore_state(fresh, self.bot.strategy.state())
                self.bot.strategy = fresh
            self.now_ns += self.pace_ns
            self.core.received(events, self.now_ns)
            self.core.turn(self.now_ns)
            if i == self.moves // 2:
                self.half_state = len(self.core.kept_state(self.bot, self.now_ns))

    def _moves(self, now_ns: int) -> tuple[Event, ...]:
        chance = self._chance
        self._mid = min(9_000, max(1_000, self._mid + 100 * chance.choice((-1, 0, 0, 0, 1))))
        self._reference *= 1.0 + chance.gauss(0.0, 0.0001)
        depth = [chance.randrange(20, 90) * 1_000_000 for _ in range(6)]
        bids = tuple((self._mid - 100 * (level + 1), depth[level]) for level in range(3))
        asks = tuple((self._mid + 100 * (level + 1), depth[level + 3]) for level in range(3))
        side = chance.choice((Side.BUY, Side.SELL))
        trade = TradePrinted(instrument=BINARY.id, price=self._mid, size=1_000_000, aggressor=side)
        prices = [
            ReferencePriced(key=key, price_e8=round(self._reference * 1e8), exchange_ns=now_ns)
            for key in self.bot.declared.references
        ]
        seen = [self._observed(key, now_ns) for key in self.bot.observes]
        return (trade, BookReplaced(instrument=BINARY.id, bids=bids, asks=asks), *prices, *seen)

    def _observed(self, key: str, now_ns: int) -> Observed:
        """Say something of a key: a number, a text or a signal, a while old, more or less sure."""
        chance = self._chance
        side = chance.choice(("buy", "sell", "flat"))
        fields: dict[str, float | str] = {
            "side": side,
            "target": chance.choice((-1.0, 0.0, 0.5, 1.0)),
            "confidence": chance.random(),
            "expires_in_s": chance.choice((1.0, 60.0, 3_600.0)),
            "sentiment": chance.uniform(-1.0, 1.0),
        }
        trade: dict[str, float | str] = {
            "instrument": BINARY.id,
            "leg": chance.choice(("yes", "no")),
            "side": chance.choice(("buy", "buy", "sell")),
            "price": chance.uniform(0.1, 0.9),
            "size": chance.uniform(1.0, 500.0),
            "number": f"{chance.random()}",
        }
        return observed(
            key,
            chance.choice((chance.gauss(0.0, 1.0), side, fields, fields, trade)),
            at_ns=now_ns - chance.randrange(S),
            trust=chance.random(),
            source="trial",
            now_ns=now_ns,
        )


def check_strategy(kind: type[Any], file: Path | None = None) -> Iterator[str]:
    """Give a sentence for everything a strategy owes and does not keep."""
    yield from _words(kind)
    if file is not None:
        for one in sorted(file.parent.glob("*.py")) if file.name == "strategy.py" else [file]:
            yield from impurities(one)
            yield from by_the_back_door(one)
    try:
        declared_of(build(kind.name, {}, BotId("bot")))
    except PitbossError as error:
        yield f"it cannot be built with its defaults: {error}"
        return
    yield from _on_trial(kind)


def _words(kind: type[Any]) -> Iterator[str]:
    if not kind.__doc__:
        yield "it has no docstring"
    for name, field in kind.parameters_type.model_fields.items():
        meaning, _, why = (field.description or "").partition("\n\n")
        if not meaning or not why:
            yield f"parameter {name}: say what it means and, after an empty line, why this default"
        numbers = {int, float} & {field.annotation, *get_args(field.annotation)}
        bounds = {
            mark
            for one in field.metadata
            for mark in ("ge", "gt", "le", "lt")
            if hasattr(one, mark)
        }
        closed = isinstance(field.annotation, type) and issubclass(field.annotation, enum.Enum)
        if numbers and not closed and not (bounds & {"ge", "gt"} and bounds & {"le", "lt"}):
            yield f"parameter {name}: give it a lowest and a highest value"
    for name, gate in kind.gates.items():
        yield from _gate_words(name, gate)


def _gate_words(name: str, gate: GateWords) -> Iterator[str]:
    if not gate.holds or not gate.would:
        yield f"gate {name}: say what is true where it passes, and what would have to become true"
    if gate.would.startswith(("trade ", "enter ", "decide ")):
        yield f'gate {name}: `would` goes on from "would trade if": say the condition alone'
    try:
        gate.broken.format(value=1, limit=2, missing=3)
    except (KeyError, IndexError, ValueError) as error:
        yield f"gate {name}: `broken` knows value, limit and missing alone: {error!r}"


def pace_of(reads: Reads) -> tuple[int, int]:
    """Return how far apart a trial's moves are, in ns, and how many there are.

    Of one that reads time bars there are some in each bar, and bars enough to be warm.
    """
    steps = {
        bar_spec(name).step: depth
        for name, depth in reads.bars.items()
        if bar_spec(name).unit is BarUnit.TIME
    }
    if not steps:
        return S, SECONDS
    longest = max(steps)
    moves = MOVES_A_BAR * (2 * steps[longest] + BARS_MORE)
    return longest // MOVES_A_BAR, max(SECONDS, moves)


def _on_trial(kind: type[Any]) -> Iterator[str]:
    first, second = Trial(kind.name, 1), Trial(kind.name, 1)
    for trial in (first, second):
        trial.run()
        if trial.bot.state is BotState.ERROR:
            yield f"it raises: {trial.bot.error}"
            return
    if not first.decisions:
        yield f"it decided nothing in {first.moves} moves of a market"
        return
    if _written(first) != _written(second):
        yield "the same market gives other decisions the second time: it depends on more than that"
    wrongs = (wrong for one in first.decisions for wrong in _decided(kind, one))
    yield from dict.fromkeys(wrongs)
    yield from _kept(kind, first)
    yield from _looked_ahead(kind, first)


def _written(trial: Trial, until_ns: int | None = None) -> bytes:
    """Return what was decided, up to and with a moment."""
    wanted = [one for one in trial.decisions if until_ns is None or one.at_ns <= until_ns]
    return msgspec.json.encode(wanted)


def _looked_ahead(kind: type[Any], first: Trial) -> Iterator[str]:
    """Change everything after the middle: what was decided before it must be as it was."""
    other = Trial(kind.name, 1, turns=True)
    other.run()
    if _written(other, first.middle_ns) != _written(first, first.middle_ns):
        yield "another future gives other decisions before it: it looks ahead"


def _kept(kind: type[Any], first: Trial) -> Iterator[str]:
    """Look at what it keeps: bounded, whole, and enough to go on from."""
    state = first.core.kept_state(first.bot, first.now_ns)
    if len(state) > STATE_BYTES_MAX:
        yield f"its state of one market has {len(state):,} bytes: {STATE_BYTES_MAX:,} are the most"
    elif len(state) > GROWTH_MAX * first.half_state + GROWTH_BYTES:
        yield (
            f"its state grows: {first.half_state:,} bytes after half of a market, "
            f"{len(state):,} after all of it"
        )
    again = build(kind.name, {}, BotId("bot"))
    try:
        restore_state(again, state)
    except FAILS as error:
        yield f"it does not take back what it gave as its state: {error}"
        return
    if again.state() != state:
        yield "restored from its state it gives another state"
    if state:
        restarted = Trial(kind.name, 1)
        restarted.run(restarts=True)
        if _intents(restarted) != _intents(first):
            yield "restored in the middle of a market it wants something else from then on"


def _intents(trial: Trial) -> list[bytes]:
    return [msgspec.json.encode(one.intent) for one in trial.decisions if one.intent is not None]


def _decided(kind: type[Any], decision: Decision) -> Iterator[str]:
    """Give what is wrong with one decision."""
    if (decision.bot, decision.instrument) != ("bot", BINARY.id):
        yield "a decision names another bot or instrument than it was asked about"
    known = {*kind.gates}
    for gate in decision.gates:
        if gate.name not in known:
            yield f"gate {gate.name} has no words: add it to `gates`"
    for name, _ in (*decision.inputs, *decision.build_up):
        if name not in kind.values:
            yield f"{name} has no words: add it to `values`"
    if decision.intent is not None:
        yield from _wanted(decision.intent, decision.at_ns)
    if msgspec.json.decode(msgspec.json.encode(decision), type=Decision) != decision:
        yield "a decision is another one when it is read back"


def _wanted(intent: Intent, at_ns: int) -> Iterator[str]:
    if intent.valid_until_ns <= at_ns:
        yield "an intent ends before it begins: valid_until_ns lies in the past"
    if not 0.0 <= intent.confidence <= 1.0:
        yield f"confidence {intent.confidence} is not from 0 to 1"
    if isinstance(intent, Quotes):
        yield from _quoted(intent)
    elif isinstance(intent, Target):
        if not 0 <= intent.limit_price <= BINARY.product.end:
            yield f"limit_price {intent.limit_price} is no price of the instrument"
        if intent.position * intent.limit_price // BINARY.value_divisor > CAPITAL * MICRO:
            yield "its position costs more than its capital"


def _quoted(quotes: Quotes) -> Iterator[str]:
    cost = 0
    for side, levels in (("bid", quotes.bids), ("ask", quotes.asks)):
        for price, size in levels:
            if not 0 < price < BINARY.product.end or size <= 0:
                yield f"a {side} of {size} at {price} is no order of the instrument"
            cost += price * size // BINARY.value_divisor if side == "bid" else 0
    if cost > CAPITAL * MICRO:
        yield "its bids cost more than its capital"
