"""The world of one seed: an exchange, accounts with their engines, faults, and time.

Time jumps from one thing that is due to the next. Everything is drawn from generators made of the
seed, so the same seed and options give the same run, byte for byte.
"""

from __future__ import annotations

import gc
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from heapq import heappop, heappush
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import msgspec

from engine.domain.commands import MANUAL
from engine.domain.events import VenueMode
from engine.domain.instruments import Leg
from engine.errors import BrokenInvariant
from engine.lab.simulate.bench import JudgeVerdict
from engine.lab.simulate.beside import (
    draws_perpetual,
    has_pair,
    near_a_stamp,
    profile_of,
    quoted_in,
)
from engine.lab.simulate.crowd import companions
from engine.lab.simulate.engine_run import EngineRun
from engine.lab.simulate.faults import PER_MINUTE, Fault, faults_of, has_makers
from engine.lab.simulate.fee_assets import FeesIn, fees_in
from engine.lab.simulate.network import MS, Redeeming, S
from engine.lab.simulate.put_back import PutBack
from engine.lab.simulate.simulated_account import SimulatedAccount
from engine.lab.simulate.tapes import Tapes
from engine.lab.simulate.venue_truth import leap
from engine.live.commands.foreign import TokensCame, book
from engine.log import silent
from engine.venues.demo.clearing import SettlementRules
from engine.venues.demo.world import open_world

# -- The faults that befall one account's engine and its feeds, when their time comes --------------


LEGS = (Leg.YES, Leg.NO)
SHARE = 1_000_000
TAKE_IN_NS = 5 * S
"""How soon a person sees that tokens were not taken in."""

DIES_TAKING_IN = 0.3
"""Share of the tokens with whose record, or soon after it, the engine dies."""


MISTAKEN_AT_ONCE = 0.3
"""Share of the mistakes that end an engine whatever it does; others find an order on its way."""


class Chaos:
    """Lets faults happen at one station."""

    def __init__(self, account: SimulatedAccount) -> None:
        self._account = account
        self._random = account.random

    def happen(self, fault: Fault) -> None:
        """Let a fault happen to the engine that lives, if one does."""
        account, random = self._account, self._random
        run = account.engine_run
        if run is None or run.frozen or not run.open or not account.faults.on:
            return
        acts: dict[Fault, Callable[[], object]] = {
            Fault.FEED_LOST: lambda: run.market.lose(random.randint(250, 10_000) * MS),
            Fault.FEED_SILENT: run.market.silent,
            Fault.FEED_STALE: run.market.stale,
            Fault.FEED_GAP: lambda: run.market.tear(crossed=False),
            Fault.FEED_CROSSED: lambda: run.market.tear(crossed=True),
            Fault.USER_FEED_DOWN: lambda: run.network.lose(
                silent_ns=0, pause_ns=random.randint(250, 20_000) * MS
            ),
            Fault.USER_FEED_SILENT: lambda: run.network.lose(
                silent_ns=random.randint(1, 5) * S, pause_ns=250 * MS
            ),
            Fault.BEATS_LOST: lambda: self._lose_heartbeats(run),
            Fault.CLOCK_JUMP: lambda: self._jump(run),
            Fault.CRASH: lambda: setattr(run.journal, "dies_in", random.randint(0, 60)),
            Fault.ENGINE_MISTAKE: lambda: self._mistake(run),
            Fault.CRASH_SENDING: lambda: setattr(run.network, "sending_dies", True),
            Fault.DISK_FULL: self._fill_disk,
            Fault.SECOND_ENGINE: lambda: self._hang(run),
            Fault.KILL: lambda: account.operator.kill(run),
            Fault.KILL_PART: lambda: account.operator.kill_part(run),
            Fault.SETTINGS: account.operator.limit,
            Fault.VENUE_REDEEMS: account.side.redeem_for,
            Fault.VENUE_CONVERTS: self._convert,
            Fault.TOKENS_COME: lambda: self._give(run),
            Fault.CRASH_REDEEMING: lambda: setattr(
                run.network, "redeeming_dies", random.choice(tuple(Redeeming))
            ),
            Fault.JOURNAL_LOST: lambda: self._lose_journal(run),
            Fault.HOME_PUT_BACK: lambda: self._put_back(run, PutBack.COPIED),
            Fault.BACKUP_RESTORED: lambda: self._put_back(run, PutBack.RESTORED),
            Fault.FIRST_HOME_PUT_BACK: lambda: self._put_back(run, PutBack.FIRST),
            Fault.LISTING_OUTAGE: lambda: account.side.outage.begin(random, account.now()),
            Fault.TAPE_DAMAGED: lambda: self._damage(account.tapes),
        }
        account.faults.counts[fault] += 1
        acts[fault]()

    def end(self) -> None:
        """Take back the deaths that still wait for their moment."""
        account = self._account
        account.losing = False
        account.homes.want(None)
        for run in (account.engine_run, account.hung_run):
            if run is not None:
                run.journal.dies_in = -1
                run.network.sending_dies = False
                run.network.fail_sending(None)
                run.network.redeeming_dies = None

    def _later(self, pause_ns: int, act: Callable[[], None]) -> None:
        self._account.later(self._account.now() + pause_ns, act)

    def _lose_heartbeats(self, run: EngineRun) -> None:
        run.network.heartbeats_on = False
        pause_ns = self._random.randint(5, 25) * S
        self._later(pause_ns, lambda: setattr(run.network, "heartbeats_on", True))

    def _mistake(self, run: EngineRun) -> None:
        """End the engine by a mistake of its own: at once, or with the next order on its way."""
        if self._random.random() < MISTAKEN_AT_ONCE:
            run.process.within(run.fail)
        else:
            run.network.fail_sending(run.fail)

    def _jump(self, run: EngineRun) -> None:
        run.jump_ns += self._random.randint(2_100, 60_000) * MS

    def _convert(self) -> None:
        """Split or merge at the venue; tokens from before the first cash have no owner here."""
        if self._account.seen.facts.deposits:
            self._account.side.convert_for(self._random)

    def _give(self, run: EngineRun) -> None:
        """Let tokens come from outside, and a person take them in at whatever he says they cost.

        He does it again where it was lost with a death.
        """
        account, random = self._account, self._random
        facts, listed = account.seen.facts, run.executor.ledger.state.instruments
        markets = account.exchange.order_entry.markets
        open_ = [key for key, one in markets.items() if one.payout is None and key in listed]
        key, leg, size = random.choice(open_), random.choice(LEGS), random.randint(20, 200) * SHARE
        if facts.deposits and account.side.give(key, leg, size):
            self._take_in(TokensCame(key, leg, size, random.randint(0, size), MANUAL))

    def _take_in(self, came: TokensCame) -> None:
        account = self._account
        run, facts = account.engine_run, account.seen.facts
        self._later(TAKE_IN_NS, lambda: self._take_in(came))
        if came in facts.taken_in or run is None or run.frozen or not run.open:
            return
        if account.hung_run is None and came.instrument in run.executor.ledger.state.instruments:
            run.process.within(book, run.runner, came, run.now_ns())
            if account.faults.on and self._random.random() < DIES_TAKING_IN:
                run.journal.dies_in = self._random.randint(1, 6)

    def _fill_disk(self) -> None:
        disk = self._account.disk
        disk.full = True
        self._later(self._random.randint(1, 30) * S, lambda: setattr(disk, "full", False))

    def _lose_journal(self, run: EngineRun) -> None:
        """Let the engine die soon, and its journal lose its end; not beside one that hangs."""
        if self._account.hung_run is None:
            self._account.lose_journal()
            run.journal.dies_in = self._random.randint(0, 60)

    def _put_back(self, run: EngineRun, how: PutBack) -> None:
        """Let the engine die soon, and its home become an earlier one."""
        account = self._account
        if account.hung_run is None and account.homes.has(how):
            account.homes.want(how)
            run.journal.dies_in = self._random.randint(0, 60)

    def _damage(self, tapes: Tapes) -> None:
        self._account.faults.seen(f"tape_{tapes.damage()}")

    def _hang(self, run: EngineRun) -> None:
        """Let the engine hang, another one start, and the first one come back for a while."""
        account = self._account
        if account.hung_run is not None:
            return
        run.process.frozen = True
        account.hung_run, account.engine_run = run, None
        account.side.waiting.clear()  # it waits in the process until its time is over
        account.runs.died()
        self._later(self._random.randint(1, 15) * S, account.start)
        self._later(self._random.randint(16, 30) * S, lambda: self._wake(run))

    def _wake(self, run: EngineRun) -> None:
        run.process.frozen = False
        self._later(self._random.randint(2, 20) * S, lambda: self._end_hung_run(run))

    def _end_hung_run(self, run: EngineRun) -> None:
        self._account.die(run)
        self._account.hung_run = None


# -- Time and what it brings -----------------------------------------------------------------------

MINUTE = 60 * S
BEGIN_NS = 1_767_225_600 * S
"""2026-01-01 00:00 UTC; a seed begins somewhere in that day."""

CALM_NS = 60 * S
"""How long the world is well before everything is stopped: a closure received last must be over."""

REST_NS_MAX = 300 * S
"""How long a stop may take to be proven in a world that is well."""

END_NS = 30 * S
"""How long an engine may take to end in order."""

PAUSE_H = (2, 26)
"""How long; short ones are as likely as long ones are, by their logarithm."""

PAUSES_MAX = 2
"""Pauses of one run: the exchange lives through each of these hours."""

DAY = 86_400 * S
CLOSE_EVERY_NS = 300 * S
"""How often a market of the series closes, counted from midnight."""

MIDNIGHTS = 0.25
"""Share of the worlds in which midnight UTC falls into the first minutes."""

MIDNIGHT_NS_MAX = 300 * S
GATHERED = 1 / 3
"""Share of the faults of a minute's rate that strike within `NEAR_NS` of a moment: of midnight, of
a market's close or of a change of settings, each as likely as the others."""

NEAR_NS = 30 * S

VENUE_FAULTS = (
    Fault.RESTART,
    Fault.RESTART_DROPS,
    Fault.POST_ONLY,
    Fault.CANCEL_ONLY,
    Fault.DISABLED,
    Fault.TICK_CHANGED,
    Fault.MARK_LEAPS,
)
WINDOWS = {
    Fault.POST_ONLY: VenueMode.POST_ONLY,
    Fault.CANCEL_ONLY: VenueMode.CANCEL_ONLY,
    Fault.DISABLED: VenueMode.DISABLED,
}


class SimulationOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one seed gave."""

    seed: int
    simulated_s: float
    digest: str
    verdicts: tuple[JudgeVerdict, ...]
    counts: dict[str, int]
    lines: tuple[str, ...] = ()
    """The last journal lines of the account a judge spoke about."""


@contextmanager
def without_gc() -> Iterator[None]:
    """Let no collector look through a world while time passes: all of it lives to its end."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


class World:
    """One run. Call `run` once."""

    def __init__(
        self,
        seed: int,
        *,
        faults: Iterable[Fault] | None = None,
        accounts: int = 2,
        gathers: bool = False,
        spot: bool = False,
        perp: bool = False,
        crowd: int = 0,
    ) -> None:
        """`gathers`: faults gather around moments. `crowd`: more accounts in each engine.

        `spot`: with a pair, `perp`: with a perpetual, as some gathering seeds have by themselves.
        """
        perp = perp or (gathers and draws_perpetual(seed))
        self.seed = seed
        self._gathers = gathers
        self._settings_ns = 0  # when the settings change next
        random = Random(seed)  # noqa: S311 - a simulation, not a secret
        rng = Random(random.getrandbits(64))  # noqa: S311
        self.faults = faults_of(seed, rng, faults, gathers=gathers, perp=perp, crowded=crowd > 0)
        self._random = Random(random.getrandbits(64))  # noqa: S311
        self._begin_ns = self._end_ns = self._drawn_begin(random, perp)
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._counter = 0
        # Other worlds with a pair came first: seeds that the tests describe keep their runs.
        fees, money = fees_in(seed) if spot else FeesIn.QUOTE, quoted_in(seed, spot=spot)
        self.exchange = open_world(
            profile_of(spot or (gathers and has_pair(seed)), perp, fees=fees, currency=money),
            rng=Random(random.getrandbits(64)),  # noqa: S311
            now_ns=self._begin_ns,
            settlement=self._settlement(),
        )
        self._digest = hashlib.blake2b(digest_size=16)
        self.accounts = [
            SimulatedAccount(
                f"demo-{number}",
                self.exchange,
                faults=self.faults,
                random=Random(random.getrandbits(64)),  # noqa: S311
                later=self.later,
                digest=self._digest,
                makers=has_makers(seed),
                fees_in=fees,
                companions=companions(self, f"crowd-{number}", crowd, random),
            )
            for number in range(accounts)
        ]
        self._chaos = [Chaos(account) for account in self.accounts]

    def _settlement(self) -> SettlementRules:
        return SettlementRules(
            fail_ppm=int(self.faults.rate(Fault.VOIDED) * 1_000_000),
            retry_ppm=int(self.faults.rate(Fault.RETRIED) * 1_000_000),
        )

    def _drawn_begin(self, random: Random, perp: bool) -> int:
        begin_ns = BEGIN_NS + random.randrange(86_400) * S
        if self._gathers and self._random.random() < MIDNIGHTS:
            begin_ns = BEGIN_NS + DAY - self._random.randint(S, MIDNIGHT_NS_MAX)
        elif perp:
            begin_ns = near_a_stamp(begin_ns, self._random)
        return begin_ns

    def later(self, at_ns: int, act: Callable[[], None]) -> None:
        """Do something at a time of the world, not before now."""
        self._counter += 1
        heappush(self._heap, (max(at_ns, self.exchange.now_ns), self._counter, act))

    # -- time --------------------------------------------------------------------------------------

    def run(self, minutes: float) -> SimulationOutcome:
        """Run for so long with faults, then until everything is at rest."""
        with TemporaryDirectory(prefix="simulated-") as homes, silent(), without_gc():
            for account in self.accounts:
                account.begin(Path(homes, account.id))
            for fault in PER_MINUTE:
                self._plan(fault)
            self._end_ns += int(minutes * MINUTE)
            if self._live() and self._until(self._end_faults(self._end_ns)):
                self._rest()
            for account in self.accounts:
                account.close()
        verdicts = tuple(verdict for account in self.accounts for verdict in account.verdicts)
        counts = Counter(self.faults.counts)
        for account in self.accounts:
            counts["starts"] += account.starts
            counts["orders"] += len(account.seen.facts.orders)
            counts["fills"] += len(account.seen.facts.fills)
            counts.update(account.seen.facts.linear_counts())
        return SimulationOutcome(
            seed=self.seed,
            simulated_s=(self.exchange.now_ns - self._begin_ns) / S,
            digest=self._digest.hexdigest(),
            verdicts=verdicts,
            counts={str(name): count for name, count in sorted(counts.items())},
            lines=self._lines(verdicts),
        )

    def _live(self) -> bool:
        """Let time pass up to the end, which every pause moves; False = a judge spoke."""
        while self.exchange.now_ns < self._end_ns:
            if not self._until(self._end_ns):
                return False
        return True

    def _until(self, end_ns: int) -> bool:
        """Let time pass up to a moment; False = a judge spoke."""
        exchange, heap, accounts = self.exchange, self._heap, self.accounts
        while True:
            at_ns = heap[0][0] if heap else end_ns + 1
            due_ns = exchange.due_ns
            if due_ns is not None and due_ns < at_ns:
                at_ns = due_ns
            for account in accounts:
                for run in (account.engine_run, account.hung_run):
                    if run is not None and run.process.due_ns < at_ns:
                        at_ns = max(run.process.due_ns, exchange.now_ns)
            if at_ns > end_ns:
                exchange.advance(end_ns)
                self._publish()
                return True
            exchange.advance(at_ns)
            self._publish()
            while heap and heap[0][0] <= at_ns:
                heappop(heap)[2]()
                self._publish()
            for account in accounts:
                for run in (account.engine_run, account.hung_run):
                    if run is not None and run.process.due_ns <= at_ns:
                        account.run_process(run)
                if account.verdicts:
                    return False

    def _publish(self) -> None:
        """Hand out what the exchange said at this moment."""
        outbox = self.exchange.outbox
        if not outbox.public and not any(outbox.reports.values()):
            return
        events = tuple([event for _, event in self.exchange.take_public()])
        for account in self.accounts:
            if outbox.reports[account.id] or account.crowd.companions:
                account.reports()
            for run in (account.engine_run, account.hung_run):
                if events and run is not None and not run.dead:
                    run.market.take(events)

    # -- faults ------------------------------------------------------------------------------------

    def _plan(self, fault: Fault) -> None:
        """Draw when a fault happens next."""
        rate = self.faults.rate(fault)
        if rate:
            at_ns = self.exchange.now_ns + int(self._random.expovariate(rate) * MINUTE)
            if self._gathers and self._random.random() < GATHERED:
                at_ns = self._near_a_moment()
            if fault is Fault.SETTINGS:
                self._settings_ns = at_ns
            self.later(at_ns, lambda: self._strike(fault))

    def _near_a_moment(self) -> int:
        """Draw a time around the next midnight, the next close or the next change of settings."""
        now_ns = self.exchange.now_ns
        moments = [(now_ns // CLOSE_EVERY_NS + 1) * CLOSE_EVERY_NS]
        midnight_ns = (now_ns // DAY + 1) * DAY
        moments += [midnight_ns] if midnight_ns - now_ns < 2 * MIDNIGHT_NS_MAX else []
        moments += [self._settings_ns] if self._settings_ns > now_ns else []
        at_ns = self._random.choice(moments) + self._random.randint(-NEAR_NS, NEAR_NS)
        return max(now_ns, at_ns)

    def _strike(self, fault: Fault) -> None:
        if not self.faults.on:
            return
        if fault is Fault.PAUSED:
            self._pause()
        elif fault in VENUE_FAULTS:
            self._strike_venue(fault)
        else:
            self._random.choice(self._chaos).happen(fault)
        self._plan(fault)

    def _pause(self) -> None:
        """Let the machine sleep, or be off, for hours, with all accounts; the venue goes on."""
        runs = [account.engine_run for account in self.accounts]
        hung = any(account.hung_run for account in self.accounts)
        count = self.faults.counts[Fault.PAUSED]
        away = any(run is None or run.frozen or not run.open for run in runs)
        if hung or away or count >= PAUSES_MAX:
            return
        self.faults.counts[Fault.PAUSED] += 1
        hours = PAUSE_H[0] * (PAUSE_H[1] / PAUSE_H[0]) ** self._random.random()
        pause_ns, sleeps = int(hours * 3_600 * S), self._random.random() < 0.5
        for account in self.accounts:
            account.pause(pause_ns, sleeps=sleeps)
        self._end_ns += pause_ns

    def _strike_venue(self, fault: Fault) -> None:
        guard, now_ns, random = self.exchange.guard, self.exchange.now_ns, self._random
        if fault is Fault.TICK_CHANGED:
            markets = [m for m in self.exchange.order_entry.markets.values() if m.accepting]
            terms = random.choice(markets).instrument
            self.exchange.listing.change_tick(terms.id, 10 if terms.tick == 100 else 100)
        elif fault is Fault.MARK_LEAPS:
            truths = [account.side.truth for account in self.accounts]
            if not leap(self.exchange.order_entry.margins, truths, random):
                return
            self._publish()  # before the next mark comes, within the second
            for account in self.accounts:
                account.side.truth.look(account.speak)
        elif guard.mode is not VenueMode.OPEN:
            return
        elif fault in WINDOWS:
            guard.switch(WINDOWS[fault])
            guard.plan(VenueMode.OPEN, now_ns + random.randint(1, 20) * S)
        else:
            guard.plan_restart(
                now_ns + MS,
                down_ns=random.randint(1, 20) * S,
                post_only_ns=random.randint(1, 20) * S,
                drop_orders=fault is Fault.RESTART_DROPS,
            )
        self.faults.counts[fault] += 1

    # -- the end -----------------------------------------------------------------------------------

    def _end_faults(self, now_ns: int) -> int:
        """Let no further fault happen; give when everything must be well."""
        self.faults.on = False
        for chaos in self._chaos:
            chaos.end()
        self.exchange.guard.plan(VenueMode.OPEN, now_ns + 41 * S)
        return now_ns + 60 * S + CALM_NS

    def _rest(self) -> None:
        """Stop every engine, wait for the proofs and the last settlements, then compare."""
        stop_ns = self.exchange.now_ns
        for account in self.accounts:
            account.stop()
        while self.exchange.now_ns < stop_ns + REST_NS_MAX:
            if not self._until(self.exchange.now_ns + S):
                return
            if all(account.at_rest() for account in self.accounts):
                break
        for account in self.accounts:
            account.judge_rest()
        if self._until(self.exchange.now_ns + END_NS):
            for account in self.accounts:
                account.judge_end()

    def _lines(self, verdicts: tuple[JudgeVerdict, ...]) -> tuple[str, ...]:
        if not verdicts:
            return ()
        account = next(s for s in self.accounts if s.id == verdicts[0].account)
        return tuple(
            f"{record.seq} {(record.at_ns - self._begin_ns) / S:.3f} {record.kind} "
            f"{msgspec.json.encode(msgspec.msgpack.decode(record.body)).decode()}"
            for record in account.disk.rows[-50:]
        )


def simulate(
    seed: int,
    minutes: float = 10.0,
    faults: Iterable[Fault] | None = None,
    accounts: int = 2,
    *,
    gathers: bool = False,
    spot: bool = False,
    perp: bool = False,
    crowd: int = 0,
) -> SimulationOutcome:
    """Run one seed to its end. Raises BrokenInvariant where the world itself is wrong."""
    if minutes <= 0 or accounts < 1:
        raise BrokenInvariant("a simulation needs some minutes and an account")
    kind = {"gathers": gathers, "spot": spot, "perp": perp}
    return World(seed, faults=faults, accounts=accounts, crowd=crowd, **kind).run(minutes)
