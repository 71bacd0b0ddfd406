"""One account: its engines one after another, the chaos they live in, and its judges."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from random import Random
from typing import Any

import msgspec

from engine.bots.bot import Bot
from engine.domain.bots import BotState
from engine.domain.decisions import Decision, Planned
from engine.domain.effects import PlaceOrder, RedeemTokens
from engine.domain.events import Event
from engine.domain.instruments import AccountId, InstrumentId, Mode
from engine.domain.intents import Intent
from engine.domain.orders import Order, OrderId
from engine.errors import PitbossError
from engine.executor.executor import Executor
from engine.lab.simulate.accounts import SERIES, account_of, bots_of
from engine.lab.simulate.bench import Evidence, JudgeVerdict
from engine.lab.simulate.disk import Disk, EngineDied, Journal
from engine.lab.simulate.engine_run import AUTH, EngineRun, S
from engine.lab.simulate.faults import Faults
from engine.lab.simulate.judge_lives import Lives
from engine.lab.simulate.judge_orders import DECIDED, LEAVING
from engine.lab.simulate.loss import goes_on
from engine.lab.simulate.market_network import MarketNetwork
from engine.lab.simulate.network import MS, Network
from engine.lab.simulate.venue_side import CURRENCY, VenueSide
from engine.runtime.services import HEARTBEAT, USER_FEED
from engine.venues.demo.exchange import DemoExchange
from engine.venues.demo.streams import BEAT_EVERY_S
from storage.journal import Record
from storage.projection import Fold
from storage.rows import OrderFold, Rows

# -- The judge of rows: what a page shows of an order is what the engine itself holds of it --------
# Folds the journal as the state file's projection does, record by record, and compares every row
# it touched with the executor that trades: at each start with the whole past, each second, at the
# end.

Speak = Callable[[str, str], None]


class MemoryRows(Rows):
    """Rows without a state file; remembers which orders' rows were touched since it was asked."""

    def __init__(self) -> None:
        self._found: dict[type[msgspec.Struct], dict[tuple[str | int, ...], Any]] = {}
        self.orders: dict[int, OrderFold] = {}
        self.touched: dict[int, OrderFold] = {}

    def mode(self, account: str) -> Mode:
        """Return the mode of a simulated account."""
        del account
        return Mode.DEMO

    def find(self, kind: type[Any], *key: str | int) -> Any:
        """Return the row with this key, None where there is none."""
        return self._found.get(kind, {}).get(key)

    def put(self, row: msgspec.Struct) -> None:
        """Take a new or changed row."""
        self._found.setdefault(type(row), {})[self.key_of(row)] = row
        if isinstance(row, OrderFold):
            self.orders[row.id] = self.touched[row.id] = row

    def drop(self, news: msgspec.Struct) -> None:
        """Forget early news that has been used."""
        self._found[type(news)].pop(self.key_of(news), None)


class RowsJudge:
    """Compares one account's rows with its engines, one after another."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.born()

    def born(self) -> None:
        """Begin a life: its rows are built anew from what the disk has."""
        self._rows = MemoryRows()
        self._fold = Fold(self._rows)
        self._seq = 0

    def look(self, executor: Executor, speak: Speak, *, whole: bool = False) -> None:
        """Compare what the journal told since the last look; `whole` = every order there is.

        Call it where nothing is under way inside the engine: all it has decided is journaled.
        """
        for record in self._disk.rows[self._seq :]:
            self._fold.take(record)
        self._seq = len(self._disk.rows)
        touched, self._rows.touched = self._rows.touched, {}
        for number, row in (self._rows.orders if whole else touched).items():
            known = executor.record(number)  # type: ignore[arg-type]
            if known is None:
                continue  # it ended so long ago that the engine has forgotten it
            held, shown = (known.state, known.filled), (row.state, row.filled)
            if held != shown:
                speak("rows", f"order {number} is {held} in the engine, its row says {shown}")


# -- One account: its engines one after another, the chaos they live in, and its judges ------------

BEAT_NS = int(BEAT_EVERY_S * S)
Later = Callable[[int, Callable[[], None]], None]


class SimulatedAccount:
    """One account with everything around it. `verdicts` fills when a judge speaks."""

    def __init__(
        self,
        name: str,
        exchange: DemoExchange,
        *,
        faults: Faults,
        random: Random,
        later: Later,
        digest: blake2b,
        makers: bool,
    ) -> None:
        self.exchange = exchange
        self.faults = faults
        self.random = random
        self.later = later
        self.verdicts: list[JudgeVerdict] = []
        self.settings = account_of(name, random)
        self.account = AccountId(name)
        self.cash_micro = round(self.settings.starting_cash * 1_000_000)
        exchange.open_account(self.account, self.cash_micro)
        self.disk = Disk(random)
        self.side = VenueSide(exchange, self.account, faults, random)
        self.seen = Evidence(self.side, self.disk, self.settings.limits)
        self.lives = Lives(self.seen)
        self.rows = RowsJudge(self.disk)
        self.life: EngineRun | None = None
        self.ghost: EngineRun | None = None
        """An engine that hangs, or that came back after its successor had started."""
        self.decide: Callable[[Decision | Planned], None] = lambda _: None
        """Hears every decision and plan of its engines."""
        self.latch_file = False
        self.losing = False
        """True where the journal loses its end with the life that goes on now."""
        self._lost: list[Record] | None = None
        """What the journal lost and nobody has accepted yet."""
        self._left: dict[OrderId, Order] = {}
        self.makers = makers
        self.starts = 0
        self.snapshot_every = random.choice((200, 1_000, 50_000))
        self._digest = digest
        self._series = random.random() < 0.8
        self._events = [key for key, m in exchange.desk.markets.items() if not m.instrument.series]

    # -- lives -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start an engine: recovery first, and before it what a lost journal needs."""
        if self._lost is not None:
            if self.side.flying:
                self.later(self.now() + S, self.start)
                return  # a person is slower than what is on its way
            self.disk.accept(goes_on(self._lost, self.disk, self.side, self.now()))
            self.latch_file = True
        self.starts += 1
        fence = self.disk.take_lease()
        self.seen.born()
        self.rows.born()
        journal = Journal(self.disk, fence, heard=self._heard, digest=self._digest)
        line = Network(
            self.side, journal, faults=self.faults, random=self.random,
            later=self.later, leaves=self._leaves,
        )  # fmt: skip
        try:
            life = self.life = EngineRun(
                self.settings, self.disk, journal, line, fence=fence, decide=self.decide
            )
        except PitbossError as error:
            self.speak("start", f"{type(error).__name__}: {error}")
            return
        life.market = MarketNetwork(
            self.exchange,
            random=self.random,
            later=self.later,
            deliver=lambda events: self._deliver(life, events),
            wanted=lambda key: self._series or key in self._events,
            references=frozenset(),
        )
        self.lives.started(life)
        self.within(life, lambda: life.begin(self._bots(), self.now(), latched=self.latch_file))
        if self._lost is not None:
            self._lost = None
            self.within(life, lambda: self._latched(life))
        now_ns = self.now()
        self.later(now_ns + 50 * MS, lambda: self.within(life, life.market.connect))
        self.later(now_ns + 80 * MS, lambda: self._user_feed(life))
        self.later(now_ns + 60 * MS, lambda: self._beat(life))
        self.later(now_ns + S, lambda: self._second(life))

    def die(self, life: EngineRun) -> None:
        """End the process, and the power with it; a supervisor starts it again."""
        if life.dead:
            return
        life.dead = True
        life.line.up = False
        life.market.end()
        if life is not self.life:
            return
        self.life = None
        self.side.waiting.clear()
        self.disk.cut()
        if self.losing and self.ghost is None:
            # A damaged write-ahead log takes what was durable, too.
            self._lost = self.disk.lose(self.random.randint(1, 400))
        self.losing = False
        self.lives.died()
        pause_ns = self.random.choice((500, 2_000, 20_000)) * MS
        self.later(self.now() + pause_ns, self.start)

    def within(self, life: EngineRun, act: Callable[[], object]) -> None:
        """Do something inside an engine; what it raises is its death, or a verdict."""
        if life.dead or life.frozen:
            return
        try:
            act()
        except EngineDied:
            self.die(life)
        except PitbossError as error:
            self.speak("invariant", f"{type(error).__name__}: {error}")

    def _bots(self) -> list[Bot]:
        stays = self.latch_file or self.seen.halted
        state = BotState.PAUSED if stays else BotState.RUNNING
        groups: list[str | list[InstrumentId]] = [self._events, *([SERIES] if self._series else [])]
        fence = self.disk.fence

        def said(intent: Intent) -> None:
            if fence == self.disk.fence:
                self.seen.wished(intent)

        return bots_of(self.account, groups, self.random, said, state, makers=self.makers)

    # -- streams -----------------------------------------------------------------------------------

    def now(self) -> int:
        """Return the world's time."""
        return self.exchange.now_ns

    def _deliver(self, life: EngineRun, events: tuple[Event, ...]) -> None:
        self.within(life, lambda: self._feed(life, events))

    def _feed(self, life: EngineRun, events: tuple[Event, ...]) -> None:
        self.seen.now_ns = now_ns = life.now_ns(self.now())
        for event in events:
            if life is self.life:
                self.seen.sights.take(event, now_ns)
            life.feed(event, self.now())

    def _user_feed(self, life: EngineRun) -> None:
        if life.line.user_feed:
            return
        self.within(life, lambda: self._connected(life))

    def _connected(self, life: EngineRun) -> None:
        life.fund(self.cash_micro, CURRENCY, self.now())
        life.user_feed(self.exchange.guard.mode, self.now())

    def lose_user_feed(self, life: EngineRun, *, silent_ns: int, pause_ns: int) -> None:
        """Lose the user stream; it is noticed after `silent_ns`, and back after a pause."""
        if not life.line.user_feed:
            return
        life.line.user_feed = False

        def notice() -> None:
            self.within(life, lambda: life.health(USER_FEED, "the stream ended", self.now()))
            self.later(self.now() + pause_ns, lambda: self._user_feed(life))

        self.later(self.now() + silent_ns, notice)

    def _beat(self, life: EngineRun) -> None:
        if life.dead:
            return
        if not life.frozen:
            self.within(life, lambda: self._beats(life))
        self.later(self.now() + BEAT_NS, lambda: self._beat(life))

    def _beats(self, life: EngineRun) -> None:
        now_ns = self.now()
        if life.beating:
            self.side.beat(now_ns)
            if life.missed != 0 or life.executor_unwell(HEARTBEAT):
                life.missed = 0
                life.health(HEARTBEAT, "", now_ns)
            return
        life.missed += 1
        if life.missed == 2:
            life.health(HEARTBEAT, "missed", now_ns)

    def _second(self, life: EngineRun) -> None:
        if life.dead:
            return
        self.within(life, lambda: life.second(self.now(), self.snapshot_every))
        if self.seen.halted and life is self.life and not life.halted:
            self.within(life, lambda: self._halt(life))
        self.lives.watch(life, self.now(), self.speak)
        if not (life.dead or life.frozen or life.journal.stale):
            self.rows.look(life.executor, self.speak)
        if self.latch_file and self.lives.proven and life is self.life and self.faults.on:
            self._release(life)
        self.later(self.now() + S, lambda: self._second(life))
        reason = self.seen.told.unwell.get(AUTH)
        if reason is None and any(AUTH in why for why in life.executor.reasons):
            # A person looks after the credential, some seconds later.
            self.within(life, lambda: life.health(AUTH, "", self.now()))

    def reports(self) -> None:
        """Let the exchange's own reports leave for whoever listens."""
        for event in self.side.take():
            for life in (self.life, self.ghost):
                if life is not None:
                    life.line.report(event, self.now())

    # -- what judges hear --------------------------------------------------------------------------

    def _heard(self, message: msgspec.Struct | Any, at_ns: int) -> None:
        """Show a record that was written to the judges."""
        seen = self.seen
        seen.now_ns = at_ns
        if isinstance(message, RedeemTokens):
            self.lives.asked_to_redeem(message, self.speak)
        seen.take(message)
        if isinstance(message, PlaceOrder):
            for name, judge in DECIDED.items():
                self._judged(name, judge(message.order, seen), message.order)
            self.side.waiting[message.order.id] = message.order
        elif self.life is not None:
            self.lives.heard(message, self.life, self.speak)

    def _leaves(self, order: Order) -> None:
        """Show the bytes of an order that leave to the judges."""
        for name, judge in LEAVING.items():
            self._judged(name, judge(order, self.seen), order)
        before = self._left.setdefault(order.id, order)
        self._judged("numbers", "" if before == order else f"{before} had its number", order)

    def _judged(self, name: str, why: str, order: Order) -> None:
        if why:
            self.speak(name, f"order {order.id} ({order.side} {order.leg} {order.price}): {why}")

    def speak(self, judge: str, text: str) -> None:
        """Note that a judge found the law broken."""
        self.verdicts.append(JudgeVerdict(judge, self.account, self.now(), text))

    def kill(self, life: EngineRun) -> None:
        """Set the latch; it is released once its proof has been seen."""
        if not self.latch_file:
            self.latch_file = True
            self._latched(life)

    def _latched(self, life: EngineRun) -> None:
        # Bots that are not paused go on wishing: nothing may come of it.
        life.latch(self.now(), pausing=self.random.random() < 0.5)
        self.lives.proving(life, self.now())
        self.lives.judge_proof(life, self.now(), self.speak)

    def limit(self, life: EngineRun) -> None:
        """Apply other limits, as an operator does: they hold at once and for every later life."""
        limits = account_of(self.settings.name, self.random).limits
        self.settings = self.settings.model_copy(update={"limits": limits})
        self.seen.limits = limits
        now_ns = life.now_ns(self.now())
        life.desk.limit(limits, now_ns)
        life.driver.run_until(now_ns)

    def _release(self, life: EngineRun) -> None:
        self.latch_file, self.seen.released_seq = False, len(self.disk.rows)
        self.lives.over()
        self.within(life, lambda: life.release(self.now()))

    # -- the end -----------------------------------------------------------------------------------

    def stop(self) -> None:
        """Stop the engine for good."""
        life = self.life
        if life is None:
            self.speak("ends", "no engine lives although every fault is over")
            return
        self.lives.judge_awake(life, self.speak)
        self.seen.halted = "the simulation ends"
        self.seen.wishes.clear()
        self.within(life, lambda: self._halt(life))

    def _halt(self, life: EngineRun) -> None:
        """Begin the proof of the stop; who dies of it has a successor, which is asked again."""
        self.lives.proving(life, self.now())
        life.halt(self.now())
        self.lives.judge_proof(life, self.now(), self.speak)

    def at_rest(self) -> bool:
        """Say whether zero is proven and every settlement has ended and been told."""
        return self.lives.proven and self.life is not None and self.lives.settled(self.life)

    def judge_rest(self) -> None:
        """Compare everything at rest."""
        life = self.life
        if life is None or not self.lives.proven:
            missing = None if self.lives.ending is None else self.lives.ending.proof(self.now())
            self.speak("proof", f"nothing is proven: {missing and missing.missing}")
            return
        self.lives.rest(life, self.speak)
        self.rows.look(life.executor, self.speak, whole=True)
