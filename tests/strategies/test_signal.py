"""What a signal says is held, within its size, its confidence and its time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.bots.bot import Bot
from engine.bots.core import AccountCore
from engine.caches.markets import MarketCache
from engine.caches.views import InventoryView
from engine.config import Config
from engine.domain.bots import BotState
from engine.domain.decisions import Decision, Stance
from engine.domain.effects import PlaceOrder
from engine.domain.events import BookReplaced, InstrumentListed
from engine.domain.evidence import Edge, verdict_of
from engine.domain.inputs import AnyInput, pack_input, unpack_input
from engine.domain.instruments import AccountId, BotId, Instrument, InstrumentId, Kind, Mode
from engine.domain.intents import Target
from engine.domain.observed_events import Observed, ObservedValue
from engine.domain.settings import RiskLimits
from engine.errors import BadInput
from engine.executor.executor import Executor, ExecutorSettings
from engine.executor.ledger import Ledger
from engine.lab.evidence import data_here, prove
from engine.risk.exposure import ExposureBook
from engine.risk.gate import Breakers, RiskGate
from engine.runtime.tape import Tape
from engine.runtime.tape_format import BEGIN, EVENTS, FORMAT, Begin, pack_begin, pack_events
from engine.strategies.door import Context, Evaluation, Strategy
from engine.strategies.registry import build

S = 1_000_000_000
T0 = 1_790_000_000 * S
KEY = "signal:one"
MARKET = Instrument(
    id=InstrumentId("venue:m"), kind=Kind.BINARY, currency="pUSD", price_decimals=4,
    size_decimals=6, tick=100, lot=10_000, closes_ns=T0 + 86_400 * S,
)  # fmt: skip
CAPITAL = 1_000_000_000
SHARE = 1_000_000


def said(value: ObservedValue, at_ns: int = T0, trust: float = 1.0) -> Observed:
    return Observed(key=KEY, value=value, at_ns=at_ns, trust=trust, source="ann")


def book(bid: int = 4_900, ask: int = 5_000) -> BookReplaced:
    return BookReplaced(instrument=MARKET.id, bids=((bid, 10**12),), asks=((ask, 10**12),))


class Stage:
    """One strategy, one market; `ask` evaluates it some seconds after the start."""

    def __init__(self, market: Instrument = MARKET, **parameters: Any) -> None:
        self.parameters = parameters
        self.strategy: Strategy = build("signal", parameters, BotId("b"))
        self.market = market
        self.cache = MarketCache()
        self.cache.receive(InstrumentListed(instrument=market), T0)
        self.cache.receive(book(), T0)

    def says(self, *events: Observed, s: float = 0.0) -> None:
        for event in events:
            self.cache.receive(event, T0 + int(s * S))

    def ask(self, s: float = 0.0, position: int = 0) -> Evaluation:
        context = Context(
            bot=BotId("b"), decision=1, view=self.cache.views[self.market.id],
            inventory=InventoryView(position=position, cash_free_micro=CAPITAL),
            references=self.cache.references, capital_micro=CAPITAL, observed=self.cache.observed,
        )  # fmt: skip
        return self.strategy.evaluate(context, T0 + int(s * S))

    def wanted(self, s: float = 0.0, position: int = 0) -> int | None:
        """Return the position it states; None = it states none."""
        (intent,) = self.ask(s, position).intents or (None,)
        assert intent is None or isinstance(intent, Target)
        return None if intent is None else intent.position


def failed(evaluation: Evaluation) -> list[str]:
    return [gate.name for gate in evaluation.decision.gates if not gate.passed]


WHOLE = 950_000_000 * 10_000 // 5_050 // 10_000 * 10_000
"""Shares that 95 % of the capital buys at 50 ¢ and 1 % of slippage."""


@pytest.mark.parametrize(
    ("value", "position"),
    [
        ("buy", WHOLE),
        (1.0, WHOLE),
        (0.5, WHOLE // 2 // 10_000 * 10_000),
        ({"target": 1.0, "confidence": 0.7}, WHOLE),
        ({"side": "long", "expires_in_s": 5.0, "instrument": "venue:m"}, WHOLE),
        ({"side": "sell"}, -(950_000_000 * 10_000 // (10_000 - 4_851) // 10_000 * 10_000)),
    ],
)
def test_a_signal_is_carried_out_at_its_part_of_the_capital(
    value: ObservedValue, position: int
) -> None:
    stage = Stage()
    stage.says(said(value))
    evaluation = stage.ask()
    (intent,) = evaluation.intents
    assert isinstance(intent, Target)
    assert intent.position == position
    assert intent.limit_price == (5_050 if position > 0 else 4_851)
    assert evaluation.decision.notes == (("source", "ann"),)
    assert stage.wanted(1, position) is None, "what is held is not asked for again"


def test_where_nothing_can_be_sold_short_selling_is_flat() -> None:
    spot = Instrument(
        id=MARKET.id, kind=Kind.SPOT, currency="USD", price_decimals=4, size_decimals=6,
        tick=1, lot=10_000,
    )  # fmt: skip
    stage = Stage(spot)
    stage.says(said("sell"))
    assert stage.wanted() is None
    assert stage.wanted(position=10 * SHARE) == 0


@pytest.mark.parametrize(
    ("event", "gate"),
    [
        (said({"side": "buy", "confidence": 0.5}), "confidence"),
        (said("buy", trust=0.5), "confidence"),
        (said("buy", at_ns=T0 - 3_601 * S), "fresh"),
        (said({"side": "up"}), "readable"),
        (said(1.5), "readable"),
    ],
)
def test_a_signal_that_does_not_pass_changes_nothing_and_says_why(
    event: Observed, gate: str
) -> None:
    stage = Stage()
    assert failed(stage.ask()) == ["heard"]
    stage.says(event)
    evaluation = stage.ask()
    assert failed(evaluation) == [gate]
    assert evaluation.decision.stance is Stance.BLOCKED
    stage.says(said("buy"), s=1)
    assert stage.wanted(1) == WHOLE
    stage.says(event, s=2)
    assert stage.wanted(2, WHOLE) is None
    assert stage.wanted(2, SHARE) == WHOLE, "the one before is still followed"


def test_one_for_another_instrument_is_none() -> None:
    stage = Stage()
    stage.says(said({"side": "buy", "instrument": "venue:other"}))
    assert failed(stage.ask()) == ["heard"]


def test_at_its_end_what_is_held_is_closed_or_held_as_was_asked() -> None:
    for at_expiry, position in (("close", 0), ("hold", None)):
        stage = Stage(at_expiry=at_expiry)
        stage.says(said({"side": "buy", "expires_in_s": 10.0}))
        assert stage.wanted() == WHOLE
        assert stage.wanted(9.9, WHOLE) is None
        assert stage.wanted(10, WHOLE) == position


def test_its_size_is_that_of_its_moment_whatever_the_price_does_and_after_a_restart() -> None:
    stage = Stage()
    stage.says(said("buy"))
    assert stage.wanted() == WHOLE
    kept = stage.strategy.state()
    again = Stage()
    again.strategy.restore(kept)
    for one in (stage, again):
        one.cache.receive(book(3_900, 4_000), T0 + S)
        assert one.wanted(1, SHARE) == WHOLE
        assert one.wanted(3_600, WHOLE) == 0
    with pytest.raises(BadInput, match="its state cannot be read"):
        again.strategy.restore(b"[]")


def test_a_key_that_cannot_be_one_is_refused() -> None:
    with pytest.raises(BadInput, match="lower-case letters"):
        build("signal", {"key": "My Signal"}, BotId("b"))


# -- the tape --------------------------------------------------------------------------------------


def core(put: list[tuple[AnyInput, int]] | None, decisions: list[Decision]) -> AccountCore:
    ledger = Ledger(currency="pUSD")
    ledger.move_cash(3 * CAPITAL)
    limits = RiskLimits()
    executor = Executor(
        account=AccountId("paper"), mode=Mode.PAPER, currency="pUSD", ledger=ledger,
        gate=RiskGate(
            limits=limits, breakers=Breakers(limits, Mode.PAPER), exposure=ExposureBook()
        ),
        settings=ExecutorSettings(starts_reconciled=True),
    )  # fmt: skip
    made = AccountCore(
        cache=MarketCache(), executor=executor, bots=(), decide=decisions.append,
        tape=None if put is None else lambda given, at_ns: put.append((given, at_ns)),
    )  # fmt: skip
    made.begin(T0)
    bot = Bot(
        name=BotId("b"), account=AccountId("paper"), strategy=build("signal", {}, BotId("b")),
        capital_micro=CAPITAL, instruments=frozenset({MARKET.id}),
    )  # fmt: skip
    bot.state = BotState.RUNNING
    made.add(bot, T0)
    return made


def test_what_was_observed_is_lived_again_from_the_tape_byte_for_byte() -> None:
    put: list[tuple[AnyInput, int]] = []
    lived: list[Decision] = []
    desk = core(put, lived)
    put.clear()
    desk.received((InstrumentListed(instrument=MARKET), book()), T0)
    effects = [desk.turn(T0)]
    for second, value in enumerate(("buy", 0.25, {"side": "sell", "confidence": 0.9}, "flat"), 1):
        now_ns = T0 + second * S
        desk.received((said(value, now_ns - 1), book()), now_ns)  # type: ignore[arg-type]
        effects.append(desk.turn(now_ns))
    assert len([one for turn in effects for one in turn if isinstance(one, PlaceOrder)]) >= 1
    told: list[Decision] = []
    again = core(None, told)
    lived_again = [
        again.receive(unpack_input(pack_input(given)), at_ns) for given, at_ns in list(put)
    ]
    assert msgspec.msgpack.encode(told) == msgspec.msgpack.encode(lived)
    assert [one for one in lived_again if one] == [one for one in effects if one]


def recording(folder: Path, *values: ObservedValue) -> Path:
    """Write a recording in our own format: a market, and a signal before some of its books."""
    tape = Tape(folder)
    head = Begin(format=FORMAT, name="day", instruments=(MARKET.id,), feed="venue")
    tape.append(BEGIN, pack_begin(head), T0)
    tape.append(EVENTS, pack_events((InstrumentListed(instrument=MARKET), book())), T0)
    for second in range(1, 120):
        events: list[Any] = [book(4_900 + 100 * (second % 2), 5_000 + 100 * (second % 2))]
        if second % 10 == 0 and second // 10 <= len(values):
            events.insert(0, said(values[second // 10 - 1], T0 + second * S - 1))
        tape.append(EVENTS, pack_events(tuple(events)), T0 + second * S)
    tape.close()
    return folder


def test_a_recording_with_signals_is_played_and_one_without_is_no_data(tmp_path: Path) -> None:
    paths = [recording(tmp_path / "said", "buy", "flat", "buy"), recording(tmp_path / "silent")]
    data, left = data_here(Config(home=tmp_path / "home"), [str(path) for path in paths])
    assert left == []
    heard, silent = prove(Config(home=tmp_path / "home"), ["signal"], data, T0 * 2, lambda *_: None)
    assert (heard.fills, silent.fills) == (3, 0)
    assert heard.asked > 0
    assert verdict_of(silent) == (
        Edge.NO_DATA, "it never had all it needs to decide, in 1 day",
    )  # fmt: skip
