"""What a strategy owes: words for what it says, one answer to one input, state that survives."""

from __future__ import annotations

import enum
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec

from engine.bots.core import AccountCore
from engine.caches.markets import MarketCache
from engine.contracts.imports import impurities
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
from engine.domain.settings import AccountSettings, BotSettings
from engine.errors import PitbossError
from engine.runtime.bot_runner import bot_of
from engine.runtime.recovery import executor_of
from engine.strategies.registry import build

S = 1_000_000_000
T0 = 1_760_000_000 * S
SECONDS = 240
CAPITAL = 1_000.0
STATE_BYTES_MAX = 64 * 1024
"""Of one market: what a strategy learns of it must not grow with time."""

BINARY = Instrument(
    id=InstrumentId("contract:binary"), kind=Kind.BINARY, currency="pUSD", price_decimals=4,
    size_decimals=6, tick=100, lot=10_000, starts_ns=T0, closes_ns=T0 + 2 * SECONDS * S,
    strike_e8=100_000 * 10**8, series="contract-updown",
)  # fmt: skip


class Trial:
    """One bot of a strategy at an account of its own, over a seeded market."""

    def __init__(self, name: str, seed: int) -> None:
        account = AccountSettings(name="paper", venue="contract", mode=Mode.PAPER)
        settings = BotSettings(
            name="bot", strategy=name, account="paper", capital=CAPITAL, instruments=(BINARY.id,)
        )
        executor, _ = executor_of(account, 1)
        executor.resume()
        self.bot = bot_of(settings, executor.account)
        self.decisions: list[Decision] = []
        self.core = AccountCore(
            cache=MarketCache(), executor=executor, bots=(), decide=self.decisions.append
        )
        self.core.begin(T0)
        self._chance = random.Random(seed)  # noqa: S311 a market, not a secret
        self._mid = 5_000
        self._reference = 100_000.0
        self.bot.state = BotState.RUNNING
        self.core.add(self.bot, T0)
        self.core.received((InstrumentListed(instrument=BINARY),), T0)
        self.now_ns = T0

    def run(self, seconds: int) -> None:
        """Let the market move once a second, and the bot be asked whenever it wants."""
        for _ in range(seconds):
            self.now_ns += S
            self.core.received(self._moves(), self.now_ns)
            self.core.turn(self.now_ns)

    def _moves(self) -> tuple[Event, ...]:
        chance = self._chance
        self._mid = min(9_000, max(1_000, self._mid + 100 * chance.choice((-1, 0, 0, 0, 1))))
        self._reference *= 1.0 + chance.gauss(0.0, 0.0001)
        depth = [chance.randrange(20, 90) * 1_000_000 for _ in range(6)]
        bids = tuple((self._mid - 100 * (level + 1), depth[level]) for level in range(3))
        asks = tuple((self._mid + 100 * (level + 1), depth[level + 3]) for level in range(3))
        side = chance.choice((Side.BUY, Side.SELL))
        trade = TradePrinted(instrument=BINARY.id, price=self._mid, size=1_000_000, aggressor=side)
        prices = [
            ReferencePriced(key=key, price_e8=round(self._reference * 1e8), exchange_ns=self.now_ns)
            for key in self.bot.strategy.references
        ]
        return (trade, BookReplaced(instrument=BINARY.id, bids=bids, asks=asks), *prices)


def check_strategy(kind: type[Any], file: Path | None = None) -> Iterator[str]:
    """Give a sentence for everything a strategy owes and does not keep."""
    yield from _words(kind)
    if file is not None:
        for one in sorted(file.parent.glob("*.py")) if file.name == "strategy.py" else [file]:
            yield from impurities(one)
    try:
        strategy = build(kind.name, {}, BotId("bot"))
    except PitbossError as error:
        yield f"it cannot be built with its defaults: {error}"
        return
    if strategy.timer_ns <= 0 or strategy.replan_ns_min < 0:
        yield "timer_ns is longer than nothing, and replan_ns_min not shorter"
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
    try:
        gate.broken.format(value=1, limit=2, missing=3)
    except (KeyError, IndexError, ValueError) as error:
        yield f"gate {name}: `broken` knows value, limit and missing alone: {error!r}"


def _on_trial(kind: type[Any]) -> Iterator[str]:
    first, second = Trial(kind.name, 1), Trial(kind.name, 1)
    for trial in (first, second):
        trial.run(SECONDS)
        if trial.bot.state is BotState.ERROR:
            yield f"it raises: {trial.bot.error}"
            return
    if not first.decisions:
        yield f"it decided nothing in {SECONDS} s of a moving market"
        return
    if msgspec.json.encode(first.decisions) != msgspec.json.encode(second.decisions):
        yield "the same market gives other decisions the second time: it depends on more than that"
    wrongs = (wrong for one in first.decisions for wrong in _decided(kind, one))
    yield from dict.fromkeys(wrongs)
    state = first.bot.strategy.state()
    if len(state) > STATE_BYTES_MAX:
        yield f"its state of one market has {len(state):,} bytes: {STATE_BYTES_MAX:,} are the most"
    again = build(kind.name, {}, BotId("bot"))
    again.restore(state)
    if again.state() != state:
        yield "restored from its state it gives another state"


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
    elif isinstance(intent, Target) and not 0 <= intent.limit_price <= BINARY.product.end:
        yield f"limit_price {intent.limit_price} is no price of the instrument"


def _quoted(quotes: Quotes) -> Iterator[str]:
    cost = 0
    for side, levels in (("bid", quotes.bids), ("ask", quotes.asks)):
        for price, size in levels:
            if not 0 < price < BINARY.product.end or size <= 0:
                yield f"a {side} of {size} at {price} is no order of the instrument"
            cost += price * size // BINARY.value_divisor if side == "bid" else 0
    if cost > CAPITAL * MICRO:
        yield "its bids cost more than its capital"
