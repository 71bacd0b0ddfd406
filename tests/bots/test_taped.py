from __future__ import annotations

from pathlib import Path

from engine.bots.bot import InputBatch
from engine.bots.core import AccountCore
from engine.caches.markets import MarketCache
from engine.domain.bots import BotState
from engine.domain.effects import QueryFills, QueryOpenOrders
from engine.domain.events import BookProven, FillsListed, OpenOrdersListed, TimerFired
from engine.domain.inputs import (
    AnyInput,
    Began,
    BotAdded,
    BotMoved,
    EffectRequested,
    Expiring,
    Halted,
    Received,
    StartedOver,
    Transient,
    Turned,
    Withdrawn,
    pack_input,
    unpack_input,
)
from engine.domain.instruments import AccountId, InstrumentId, Mode
from engine.domain.settings import AccountSettings, BotSettings
from engine.runtime.bot_runner import BotRunner
from engine.runtime.recovery import engine_started, executor_of
from storage.journal import latest_snapshots
from storage.journal_writer import JournalWriter

ACCOUNT = AccountId("demo")
SETTINGS = AccountSettings(name="demo", venue="demo", mode=Mode.DEMO)


class Deck:
    """Two taped desks of one house and what they put."""

    def __init__(self) -> None:
        self.put: list[tuple[AnyInput, int]] = []
        batch = InputBatch()
        self.core, self.other = (self._core(name, batch) for name in ("demo", "other"))

    def _core(self, name: str, batch: InputBatch) -> AccountCore:
        executor, _ = executor_of(SETTINGS.model_copy(update={"name": name}), 3)
        return AccountCore(
            tape=lambda given, at_ns: self.put.append((given, at_ns)), batch=batch,
            cache=MarketCache(), executor=executor, bots=(), decide=lambda _: None,
        )  # fmt: skip

    def taken(self) -> list[AnyInput]:
        put, self.put = self.put, []
        return [given for given, _ in put]


def seated(deck: Deck) -> BotRunner:
    class Shell:
        desk = deck.core
        account = ACCOUNT

    settings = BotSettings(name="b", strategy="market_maker", account="demo", capital=10.0)
    return BotRunner(settings, Shell())  # type: ignore[arg-type]


def test_every_input_can_be_read_back() -> None:
    deck = Deck()
    bot_runner = seated(deck)
    deck.core.begin(1)
    deck.core.add(bot_runner.bot, 2)
    deck.core.receive(StartedOver(ACCOUNT), 3)
    deck.core.receive(EffectRequested(ACCOUNT, QueryOpenOrders(account=ACCOUNT)), 4)
    deck.core.receive(Transient(ACCOUNT, TimerFired(name="second")), 5)
    deck.core.withdraw(bot_runner.bot, 6)
    deck.core.expire_quotes(300_000, 7)
    deck.core.receive(Halted(ACCOUNT, "over"), 7)
    made = deck.taken()
    kinds = [Began, BotAdded, StartedOver, EffectRequested, Transient, Withdrawn, Expiring, Halted]
    assert [type(one) for one in made] == kinds
    assert [unpack_input(pack_input(one)) for one in made] == made


def test_a_market_received_by_two_desks_is_put_once() -> None:
    deck = Deck()
    events = (BookProven(instrument=InstrumentId("demo:one")),)
    deck.core.received(events, 1)
    deck.other.received(events, 1)
    deck.core.received((), 2)
    deck.core.received(events, 3)
    deck.core.received((BookProven(instrument=InstrumentId("demo:one")),), 4)
    other = AccountId("other")
    assert deck.taken() == [
        Received(ACCOUNT, events),
        Received(other, None),
        Received(ACCOUNT, None),
        Received(ACCOUNT, events),
    ]


def test_a_bot_that_moved_is_told_before_the_next_input() -> None:
    deck = Deck()
    bot_runner = seated(deck)
    deck.core.add(bot_runner.bot, 1)
    deck.taken()
    bot_runner.bot.state = BotState.RUNNING
    deck.core.receive(Transient(ACCOUNT, TimerFired(name="x")), 2)
    deck.core.receive(Transient(ACCOUNT, TimerFired(name="x")), 3)
    assert [type(one) for one in deck.taken()] == [BotMoved, Transient, Transient]


def test_a_turn_that_can_do_nothing_is_not_put() -> None:
    deck, second = Deck(), 1_000_000_000
    desk, executor = deck.core, deck.core.executor
    desk.begin(second)
    asked = desk.turn(second)
    for step in range(24):  # two empty listings are believed; the second one ends the start
        now_ns = second + step if step < 4 else second * 5
        for one in asked:
            if isinstance(one, QueryOpenOrders):
                listed = OpenOrdersListed(account=ACCOUNT, orders=(), answers=one.number)
                desk.venue(listed, now_ns)
            elif isinstance(one, QueryFills):
                fills = FillsListed(account=ACCOUNT, since_ns=0, fills=(), answers=one.number)
                desk.venue(fills, now_ns)
        asked = desk.turn(now_ns + second // 2 if step < 4 else now_ns)
    assert executor.at_rest(second * 5)
    deck.taken()
    for turn in range(100):
        assert desk.turn(second * 5 + turn) == []
    assert deck.taken() == []
    desk.turn(second * 16)
    assert type(deck.taken()[-1]) is Turned


def test_a_first_life_begins_with_nothing(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    JournalWriter(path, engine_id="one").close()
    life = engine_started(latest_snapshots(path), (SETTINGS,), fence=3, seq=0)
    assert unpack_input(pack_input(life)) == life
    assert AccountSettings.model_validate_json(life.accounts[0]) == SETTINGS
    assert not life.snapshots
