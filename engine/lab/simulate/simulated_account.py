"""One account: its engines one after another, the chaos they live in, and its judges."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import blake2b
from operator import attrgetter
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from engine.domain import events as ev
from engine.domain.bots import BotHappened
from engine.domain.commands import (
    MANUAL,
    AnyCommand,
    ApplySettings,
    Kill,
    ReleaseLatch,
    ResumeBot,
    StartBot,
)
from engine.domain.commands.trading import TransferHolding
from engine.domain.decisions import Decision, Planned
from engine.domain.effects import AnyWalletEffect, PlaceOrder
from engine.domain.instruments import AccountId, BotId, InstrumentId
from engine.domain.orders import Order
from engine.domain.settings import RiskLimits, SettingsDocument
from engine.errors import LeaseLost
from engine.executor.venue_reports import BEHIND
from engine.lab.simulate.accounts import SERIES, HandOrders, account_of, bots_of
from engine.lab.simulate.bench import Evidence, JudgeVerdict
from engine.lab.simulate.beside import alone_at, has_perpetual
from engine.lab.simulate.crashes import SimulatedMistake, alerted, judge_crash
from engine.lab.simulate.crowd import Companion, Companions
from engine.lab.simulate.disk import Disk, Journal, NullWriter
from engine.lab.simulate.engine_run import AUTH, EngineRun
from engine.lab.simulate.faults import Fault, Faults
from engine.lab.simulate.fee_assets import FeesIn
from engine.lab.simulate.judges import EngineRuns, RowsJudge
from engine.lab.simulate.market_network import MarketNetwork
from engine.lab.simulate.network import MS, Later, Network, S
from engine.lab.simulate.order_judges import DECIDED, LEAVING, late_operation
from engine.lab.simulate.outages import judge_contradictions
from engine.lab.simulate.process import EngineDied, Process
from engine.lab.simulate.put_back import PutBack, accept_loss, homes_of
from engine.lab.simulate.tapes import Tapes
from engine.lab.simulate.venue_side import VenueSide
from engine.live.commands.kill import KillScope
from engine.runtime.tape import Entries
from engine.venues.demo.exchange import DemoExchange
from storage.commands import leave
from storage.journal import Record, decode
from storage.latch import read_latch, set_latch
from storage.settings import Saved, applied, latest, save
from storage.users import ENGINE_ID

# -- The person at one account: leaves commands as a page does, and looks after the desk each second
# He wants his bots to run: what a KILL, a start or a loss has stopped he starts again, and a latch
# whose proof he has read he releases. Now and then he tries what must be refused.

WHO = "operator"
REASON = "simulated release"
TRIES = 0.1
"""How often, per second and bot, he tries to let one go on under the latch."""

SHARED = 0.4
"""Share of accounts in which several bots trade the same instruments."""

GIVES = 0.03
"""How often, per second, he gives what one owner holds to another."""

OWNERS = (2, 2, 2, 5, 5, 12)
"""How many bots trade each group of instruments where several do."""

HeldPlace = tuple[BotId | None, InstrumentId | None]


class Operator:
    """One account's. `ends` = he wants everything stopped, and it to stay so."""

    def __init__(self, account: SimulatedAccount) -> None:
        self.ends = False
        self._account = account
        self._random = account.random
        self._count = 0
        self._release_ns: dict[HeldPlace, int] = {}
        self._hand = HandOrders(account.random, margined=has_perpetual(account.exchange))

    def leave(self, command: AnyCommand) -> None:
        """Leave a command; the engine that lives then hears of it, and so may a later one."""
        account, run = self._account, self._account.engine_run
        self._count += 1
        leave(
            account.disk.state,
            engine_id=ENGINE_ID,
            id=f"{account.id}-{self._count}",
            command=command,
            who=WHO,
            now_ns=account.now() + (run.jump_ns if run else 0),  # it is one machine's clock
        )
        account.later(account.now() + self._random.randint(1, 50) * MS, self._look)

    def _look(self) -> None:
        run = self._account.engine_run
        if run is not None:
            run.look()

    # -- now and then ------------------------------------------------------------------------------

    def kill(self, run: EngineRun) -> None:
        """KILL everything: by a command, or by the file that every program can write."""
        if self._random.random() < 0.5:
            self.leave(Kill())
            return
        set_latch(self._account.kill_path, WHO, self._account.now())
        run.take_latch(read_latch(self._account.kill_path))

    def kill_part(self, run: EngineRun) -> None:
        """KILL a bot, a market or the account alone."""
        random, parts = self._random, [Kill(account=run.account)]
        if bots := run.bots:
            parts.append(Kill(bot=random.choice(bots)))
        if markets := list(run.runner.core.cache.views):
            parts.append(Kill(instrument=random.choice(markets)))
        self.leave(random.choice(parts))

    def limit(self) -> None:
        """Save other limits and have them applied."""
        account = self._account
        margined = has_perpetual(account.exchange)
        limits = account_of(account.settings.name, self._random, margined=margined).limits
        changed = {"limits": limits.model_dump(mode="json", exclude_none=True)}
        saved = save(
            account.disk.state,
            engine_id=ENGINE_ID,
            who=WHO,
            diff={"accounts": {account.settings.name: changed}},
            base_version=latest(account.disk.state, ENGINE_ID).version,
            now_ns=account.now(),
        )
        if isinstance(saved, Saved):
            account.limits[saved.version] = limits
            self.leave(ApplySettings(version=saved.version))

    # -- each second -------------------------------------------------------------------------------

    def look(self, run: EngineRun) -> None:
        """Look at the desk and do what is to be done."""
        facts = self._account.seen.facts
        if facts.latched and not self.ends and run.proven:
            self.leave(ReleaseLatch(reason=REASON))
        elif self.ends and not facts.latched:
            self.leave(Kill())
        self._release_parts(run)
        if not self.ends:
            self._start_bots(run, latched=facts.latched)
            if GIVES and self._random.random() < GIVES:
                self._give(run)
            if self._hand.due and (asked := self._hand.draw(run)) is not None:
                self._account.seen.asked.append(asked)
                self.leave(asked)
        run.look()

    def _give(self, run: EngineRun) -> None:
        """Give some of what an owner holds to another one, at any price."""
        assert run.engine is not None
        random, executor = self._random, run.executor
        listed = executor.ledger.state.instruments
        free = [
            (key, leg, held.owner, free)
            for key in executor.ledger.held
            for held in executor.ledger.holders(key).values()
            for leg, of in zip(listed[key].product.legs, (held.yes, held.no), strict=False)
            if (free := abs(of.settled) - of.reserved) > 0
        ]
        takers = [*run.bots, MANUAL]
        if free and not executor.recovering:
            key, leg, owner, most = random.choice(free)
            step = 1 if listed[key].product.second else 1_000  # up to 99,990 of a pair's currency
            self.leave(
                TransferHolding(
                    account=run.account,
                    instrument=key,
                    leg=leg,
                    size=random.randint(1, most),
                    price=step * random.randint(1, 9_999),
                    from_owner=owner,
                    to_owner=random.choice(takers),
                )
            )

    def _release_parts(self, run: EngineRun) -> None:
        now_ns, due = self._account.now(), self._release_ns
        for place in sorted(self._account.seen.facts.holds, key=str):
            if due.setdefault(place, now_ns + self._random.randint(1, 20) * S) <= now_ns:
                del due[place]
                bot, instrument = place
                account = run.account if place == (None, None) else None
                self.leave(
                    ReleaseLatch(account=account, bot=bot, instrument=instrument, reason=REASON)
                )

    def _start_bots(self, run: EngineRun, *, latched: bool) -> None:
        assert run.engine is not None
        for name, bot_runner in run.engine.bot_runners.items():
            if latched and self._random.random() > TRIES:
                continue
            if bot_runner.may(BotHappened.RESUME_ASKED):
                self.leave(ResumeBot(bot=BotId(name)))
            elif bot_runner.may(BotHappened.START_ASKED):
                self.leave(StartBot(bot=BotId(name)))


# -- One account: its engines one after another, the chaos they live in, and its judges ------------


class SimulatedAccount:
    """One account with everything around it. `verdicts` fills when a judge speaks."""

    kill_path: Path

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
        fees_in: FeesIn,
        companions: Sequence[Companion] = (),
    ) -> None:
        self.exchange = exchange
        self.now: Callable[[], int] = partial(attrgetter("now_ns"), exchange.timeline)
        """Gives the world's time, without a line of Python: it is asked most of all."""
        self.faults = faults
        self.random = random
        self.later = later
        self.verdicts: list[JudgeVerdict] = []
        self.settings = account_of(name, random, margined=has_perpetual(exchange))
        self.id = AccountId(name)
        exchange.open_account(self.id, round(self.settings.starting_cash * 1_000_000))
        self.disk = Disk(random)
        self.side = VenueSide(exchange, self.id, faults, random, fees_in=fees_in)
        self.seen = Evidence(self.side, self.disk, self.settings.limits)
        self.limits: dict[int, RiskLimits] = {}
        """Version of the settings → the limits in it."""
        self.runs = EngineRuns(self.seen)
        self.rows = RowsJudge(self.disk, self.id)
        self.crowd = Companions(companions)
        self.operator = Operator(self)
        self.engine_run: EngineRun | None = None
        self.hung_run: EngineRun | None = None
        """An engine that hangs, or that came back after its successor had started."""
        self.decide: Callable[[Decision | Planned], None] = lambda _: None
        """Receives every decision and plan of its engines."""
        self.losing = False
        """True where the journal loses its end with the life that goes on now."""
        self.homes = homes_of(self.disk, random, faults)
        self.tapes = Tapes(random)
        self._lost: list[Record] | None = None
        """What the journal lost and no person has accepted yet."""
        self._left: dict[int, Order | AnyWalletEffect] = {}
        """What left, by its number; an operation of the wallet has its own below zero."""
        self._makers, self._digest = makers, digest
        self.starts = 0
        self.snapshot_every = random.choice((200, 1_000, 50_000))
        self._series = random.random() < 0.8
        self._alone = alone_at(exchange)

    # -- lives -------------------------------------------------------------------------------------

    def begin(self, home: Path) -> None:
        """Save the settings, as a first start does, and start. `home` = where the latch lies."""
        self._home, self.kill_path = home, home / "KILL"
        name, connection, now_ns = self.settings.name, self.disk.state, self.now()
        alone, series = self._alone, [SERIES] if self._series else []
        groups: list[str | list[InstrumentId]] = [alone.events, *series]
        groups += [group for group in (alone.pairs, alone.perpetuals) if group]
        if SHARED and self.random.random() < SHARED:  # several owners in each instrument
            groups *= self.random.choice(OWNERS)
        linear = [*alone.pairs, *alone.perpetuals]
        bots = bots_of(self.settings, groups, self.random, makers=self._makers, pairs=linear)
        accounts, others = self.crowd.settings([alone.events])
        document = {
            "accounts": {
                name: self.settings.model_dump(mode="json", exclude_none=True),
                **accounts,
            },
            "bots": {**{one: bot.model_dump(mode="json") for one, bot in bots.items()}, **others},
            "schedule": dict.fromkeys(SettingsDocument().schedule),  # no worker is there
        }
        saved = save(
            connection, engine_id=ENGINE_ID, who=WHO, diff=document, base_version=0, now_ns=now_ns
        )
        version = getattr(saved, "version", 0)
        applied(connection, ENGINE_ID, version, now_ns)
        self.limits[version] = self.settings.limits
        self.homes.look(now_ns, cash=False)
        self.start()

    def start(self) -> None:
        """Start an engine, and do before what a lost journal needs."""
        if (self._lost is not None or self.homes.gone) and self.side.in_flight:
            self.later(self.now() + S, self.start)
            return  # a person is slower than what is on its way
        if self._lost is not None:
            accept_loss(self._lost, self.disk, self.side, self.speak, self.now())
            self._left |= self.homes.gone
            self._lost = None
            set_latch(self.kill_path, WHO, self.now())
        self.starts += 1
        fence = self.disk.take_lease()
        self.seen.begin_run()
        self.rows.begin_run()
        self.runs.started()
        process = Process(self.now)
        journal = Journal(self.disk, fence, process, received=self._received, digest=self._digest)
        network = Network(
            self.side,
            process,
            faults=self.faults,
            random=self.random,
            later=self.later,
            leaves=self._leaves,
        )
        run = self.engine_run = EngineRun(
            self.id,
            self._home,
            disk=self.disk,
            process=process,
            journal=journal,
            network=network,
            others=self.crowd.connected(process),
            decided=lambda said: self._decided(fence, said),
            proven=self._proven,
            snapshot_every=self.snapshot_every,
            now_ns=self.now,
            market=lambda run: MarketNetwork(
                self.exchange,
                random=self.random,
                later=self.later,
                deliver=lambda events: process.within(self._feed, run, events),
                subscribed=lambda key: self._series or any(key in one for one in self._alone),
            ),
            taper=self._taper(process),
        )
        process.create_task(run.live()).add_done_callback(lambda task: self._over(run, task))
        self.later(self.now() + S, lambda: self._second(run))

    def _taper(self, process: Process) -> Entries:
        """Return the tape of a life, where its world has one."""
        if self.faults.rate(Fault.TAPE_DAMAGED):
            return self.tapes.opened(self._home, process, self.disk)
        return NullWriter()

    def run_process(self, run: EngineRun) -> None:
        """Let a process do what is due; what it dies of has a successor."""
        try:
            run.process.run()
        except EngineDied:
            self.die(run)

    def _over(self, run: EngineRun, task: asyncio.Task[None]) -> None:
        """Note that an engine has ended by itself: in order, by a lease or by its mistake."""
        error = task.exception()
        if isinstance(error, SimulatedMistake) and run is self.engine_run:
            sides = [self.side, *(one.side for one in self.crowd.companions.values())]
            said = alerted(self.disk.state, run.failed_clock_ns)
            self.faults.seen("crash_unproven" if said else "crash_clean")
            if not self.disk.full:  # else what it said stands in its log alone
                judge_crash(sides, said, run.failed_ns, self.speak)
            self.die(run)
            return
        if error is not None and not isinstance(error, LeaseLost | SimulatedMistake):
            judge = "invariant" if run.open else "start"
            self.speak(judge, f"{type(error).__name__}: {error}")
        run.process.die()
        run.market.end()

    def pause(self, pause_ns: int, *, sleeps: bool) -> None:
        """Let the machine sleep for a while, or be off; its sockets are gone either way."""
        run = self.engine_run
        if run is None:
            return
        if not sleeps:
            self.die(run, pause_ns)
            return
        run.market.pause(pause_ns)
        run.network.lose(silent_ns=0, pause_ns=pause_ns)
        run.process.frozen = True
        self.later(self.now() + pause_ns, lambda: setattr(run.process, "frozen", False))

    def die(self, run: EngineRun, pause_ns: int = 0) -> None:
        """End the process, and the power with it; a supervisor starts it again after a pause."""
        if run.dead:
            return
        run.process.die()
        run.market.end()
        if run is not self.engine_run:
            return
        self.engine_run = None
        self.side.waiting.clear()
        self.disk.cut_power()
        if self.losing and self.hung_run is None:
            # A damaged write-ahead log takes what was durable, too.
            self._lost = self.disk.lose_end(self.random.randint(1, 400))
        self.losing = False
        if self.homes.wanted is not None and self.hung_run is None:
            self._put_back(self.homes.wanted)
        self.runs.died()
        pause_ns = pause_ns or self.random.choice((500, 2_000, 20_000)) * MS
        self.later(self.now() + pause_ns, self.start)

    def _put_back(self, how: PutBack) -> None:
        """Become an earlier home. A copy that no record names has no memory of what left since."""
        lost = self.homes.put_back()
        for record in lost:
            message = decode(record)
            if isinstance(message, PlaceOrder):
                self._forget(message.order.id)
            elif isinstance(message, AnyWalletEffect):
                self._forget(-message.operation)
        if how is PutBack.RESTORED:
            self._lost = lost

    def _forget(self, number: int) -> None:
        left = self._left.pop(number, None)
        if left is not None:
            self.homes.gone.setdefault(number, left)

    def lose_journal(self) -> None:
        """Let the journal lose its end with the life that goes on now."""
        self.losing = True

    def recover(self, run: EngineRun) -> None:
        """Stop an engine whose journal is behind, and accept what the venue knows."""
        self.faults.seen("found_behind")
        self._lost = []
        self.die(run)

    # -- streams -----------------------------------------------------------------------------------

    def _feed(self, run: EngineRun, events: tuple[ev.Event, ...]) -> None:
        self.seen.now_ns = now_ns = run.now_ns()
        if run is self.engine_run:
            for event in events:
                self.seen.books.take(event, now_ns)
        run.feed(events)

    def _second(self, run: EngineRun) -> None:
        if run.dead:
            return
        self.later(self.now() + S, lambda: self._second(run))
        if run is not self.engine_run or run.frozen or not run.open:
            return
        self.runs.watch(run, self.speak)
        self.rows.look(run.executor, self.speak)
        self.tapes.look(self.now(), self.speak)
        judge_contradictions(run.executor, self.faults, self.speak)
        if any(BEHIND in why for why in run.executor.to_release):
            self.recover(run)
            return
        self.homes.look(self.now(), cash=bool(self.seen.facts.deposits))
        self.operator.look(run)
        if AUTH not in self.seen.facts.unwell and any(AUTH in why for why in run.executor.reasons):
            # A person looks after the credential, some seconds later.
            well = ev.HealthChanged(account=self.id, source=AUTH, healthy=True, reason="")
            run.process.within(run.runner.report, well)

    def reports(self) -> None:
        """Let the exchange's own reports leave for whoever listens."""
        self.crowd.reports(self.exchange.outbox)
        for event in self.side.take():
            for run in (self.engine_run, self.hung_run):
                if run is not None:
                    run.network.report(event)

    # -- what judges receive -----------------------------------------------------------------------

    def _decided(self, fence: int, decision: Decision | Planned) -> None:
        """Show an intent to the judges before the executor receives it."""
        current = fence == self.disk.fence
        run = self.engine_run
        if current and run is not None and not run.proving:
            self.crowd.decided(decision, run.process.turns, self.speak)
        if current and isinstance(decision, Decision) and decision.intent is not None:
            self.seen.take_intent(decision.intent)
        self.decide(decision)

    def _received(self, message: msgspec.Struct | Any, at_ns: int) -> None:
        """Show a record that was written to the judges."""
        seen, run = self.seen, self.engine_run
        if self.crowd.owns(message):
            return
        seen.now_ns = at_ns
        if isinstance(message, AnyWalletEffect):
            self.runs.asked_of_wallet(message, self.speak)
        seen.take(message, at_ns)
        if isinstance(message, ev.LatchReleased):
            seen.released_seq = len(self.disk.rows)
        if run is None or not run.open:
            return
        if isinstance(message, PlaceOrder):
            seen.limits = self.limits[run.settings_version]
            for name, judge in DECIDED.items():
                self._judged(name, judge(message.order, seen), message.order)
            self.side.waiting[message.order.id] = message.order
        else:
            self.runs.received(message, run, self.speak)

    def _leaves(self, sent: Order | AnyWalletEffect) -> None:
        """Show the bytes of an order or of an operation that leave to the judges."""
        number = sent.id if isinstance(sent, Order) else -sent.operation
        run = self.engine_run
        if run is not None and self.hung_run is None and run.failed and self.now() > run.failed_ns:
            self.speak("crash", f"{sent} left an engine that had ended by a fault")
        if isinstance(sent, Order):
            for name, judge in LEAVING.items():
                self._judged(name, judge(sent, self.seen), sent)
        elif why := late_operation(sent, self.seen):
            self.speak("late", f"operation {sent.operation}: {why}")
        before = self._left.setdefault(number, sent)
        if before != sent:
            self.speak("numbers", f"{before} had the number of {sent}")

    def _proven(self, run: EngineRun, scope: KillScope | None) -> None:
        """Compare a proof with the truth at the moment at which the engine holds it for true."""
        if run is not self.engine_run:
            return
        if scope is None:
            self.runs.judge_proof(self.speak)
            self.crowd.judge_proof(self.now(), self.speak)
        else:
            self.runs.judge_part(scope, self.speak)

    def _judged(self, name: str, why: str, order: Order) -> None:
        if why:
            self.speak(name, f"order {order.id} ({order.side} {order.leg} {order.price}): {why}")

    def speak(self, judge: str, text: str) -> None:
        """Note that a judge found the law broken."""
        self.verdicts.append(JudgeVerdict(judge, self.id, self.now(), text))

    # -- the end -----------------------------------------------------------------------------------

    def stop(self) -> None:
        """Stop trading for good, by a KILL that no person releases."""
        run = self.engine_run
        if run is None or not run.open:
            self.speak("ends", "no engine lives although every fault is over")
            return
        self.runs.judge_awake(run, self.speak)
        self.operator.ends = True
        self.crowd.killed(self.now())

    def at_rest(self) -> bool:
        """Say whether zero is proven and every settlement has ended and reached the engine."""
        run = self.engine_run
        killed = run is not None and run.open and run.proven and self.seen.facts.latched
        settled = killed and run is not None and self.runs.settled(run)
        return settled and run is not None and self.crowd.settled(run)

    def judge_rest(self) -> None:
        """Compare everything at rest, then have the engine end in order."""
        run = self.engine_run
        if run is None or not run.open or not run.proven:
            self.speak("proof", f"nothing is proven: {run and run.missing}")
            return
        self.runs.rest(run, self.speak)
        self.crowd.rest(run, self.speak)
        self.rows.look(run.executor, self.speak, whole=True)
        self.seen.halted = "the engine was stopped"
        run.process.terminate()

    def judge_end(self) -> None:
        """See that it has ended in order, having proven once more that nothing is left."""
        run = self.engine_run
        if run is None or not run.dead or not run.stopped:
            self.speak("stop", "the engine was asked to end, and has not ended in order")

    def close(self) -> None:
        """Let nothing of any life move again."""
        for run in (self.engine_run, self.hung_run):
            if run is not None:
                run.process.die()
