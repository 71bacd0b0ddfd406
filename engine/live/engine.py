"""A running engine: KILL, the clock, health of files, snapshots. On the loop's thread alone."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any, TypeVar, Unpack, cast

import msgspec

from engine import log
from engine.clock import TapeClock
from engine.config import Config
from engine.domain.bots import BotHappened
from engine.domain.effects import alarm
from engine.domain.events import HealthChanged, LatchReleased, LatchSet
from engine.domain.instruments import AccountId
from engine.errors import BadInput, BrokenInvariant
from engine.live.kill import KillWatch
from engine.live.proof import ProofRun, Provable, ReceiptReported
from engine.risk.gate import RiskGate
from engine.runtime.account_runner import AccountRunner
from engine.runtime.bot_runner import BotSnapshot, apply_record
from engine.runtime.journal import SNAPSHOT_EVERY
from engine.runtime.recovery import BOTS
from engine.runtime.services import EngineWiring, Services, Stream
from engine.runtime.state_writer import Projections, StateWriter
from storage.commands import KILL_PROOF, Receipt
from storage.latch import Latch, set_latch
from storage.phases import INIT, LOADING, RECONCILING, RUNNING, EnginePhase, put_phase
from storage.settings import SettingsVersion

REFUSING_NS = 5 * 1_000_000_000
"""How long a file may refuse before a person hears of it: a lock of a moment is nothing."""

LEARNED_EVERY_NS = 20 * 1_000_000_000
"""How often the bots' learning is kept: a few kilobytes."""

WATCHED_AT_ONCE = 10
"""Bots that are watched in one slice of a tick: microseconds each, where nothing has moved."""

Part = TypeVar("Part")

CLOCK = "clock"
STATE = "state"
"""Health source: too many rows wait for the state file."""


class Engine(Services):
    """A running engine: what its accounts and bots go through together, as time passes."""

    projector: Projections
    watch: KillWatch | None = None
    """Whoever looks from outside that the loop lives, and for a KILL; None = nothing does."""
    _snapshot_every = SNAPSHOT_EVERY

    def __init__(
        self,
        config: Config,
        *,
        parts: Mapping[Callable[..., object], object] | None = None,
        outside: Callable[[], Mapping[str, Provable]] = dict,
        unread: tuple[str, ...] = (),
        snapshot_every: int = SNAPSHOT_EVERY,
        **wiring: Unpack[EngineWiring],
    ) -> None:
        """`parts` are made already, by their class, as `part` gives them.

        `outside` begins the proofs of accounts that do not trade here: nothing of ours may rest
        there. `unread` is what a KILL could not read: over it nothing is proven. `snapshot_every` =
        records between two snapshots.
        """
        super().__init__(config, **wiring)
        self._snapshot_every = snapshot_every
        self.tasks: set[asyncio.Task[None]] = set()
        """The streams that run."""
        self._beside: set[asyncio.Task[None]] = set()
        self._parts: dict[Callable[..., object], object] = dict(parts or {})
        self.gates: dict[AccountId, RiskGate] = {}
        self.absent: dict[str, BotSnapshot] = {}
        """Bots whose account is closed, as they were last seen: they are not forgotten."""
        self.proving: ProofRun | None = None
        self._latest: ProofRun | None = None
        self.receipt: Receipt | None = None
        self._outside, self._unread = outside, unread
        self.needs_operator = False
        """True where the latest receipt stays NOT PROVEN until a person acts."""
        self.phase = INIT
        self._refusing: dict[str, tuple[int, bool]] = {}
        """File that refuses → since when, and whether a person was alerted."""
        self._snapshot_seq = self.recorder.seq
        self._learned_ns = self.clock.now_ns()

    def wire(
        self, state: StateWriter, projector: Projections, watch: KillWatch | None = None
    ) -> None:
        self.state, self.projector, self.watch = state, projector, watch
        self._keep_phase(self.started_ns, "")
        self.enter(LOADING)

    def enter(self, phase: str, reason: str = "") -> None:
        """Go on to a phase of the engine's life (`storage.phases`) and keep when and why."""
        self.phase = phase
        self._keep_phase(self.wall_ns(), reason)

    def _keep_phase(self, at_ns: int, reason: str) -> None:
        entered = EnginePhase(at_ns=at_ns, phase=self.phase, reason=reason, pid=os.getpid())
        self.state.write_row(put_phase, entered)

    def put_in_force(self, settings: SettingsVersion) -> None:
        """Work by this version of the settings from now on."""
        self.settings = settings

    def spawn(self, stream: Stream) -> None:
        """Run a stream until the engine ends; one that ends by itself ends the engine."""
        task = asyncio.get_running_loop().create_task(stream())
        self.tasks.add(task)
        task.add_done_callback(self._stream_ended)

    def beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something once, beside trading; a mistake in it ends the engine."""
        task = asyncio.get_running_loop().create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._done_beside)

    def cut_beside(self) -> list[asyncio.Task[None]]:
        """Cancel what runs beside trading and return it, to be waited for; it opens no account."""
        for task in self._beside:
            task.cancel()
        return list(self._beside)

    def _done_beside(self, task: asyncio.Task[None]) -> None:
        self._beside.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.end(error)

    def _stream_ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            self.end(task.exception() or BrokenInvariant("a stream ended by itself"))

    def make(self, made: Callable[[Engine], object]) -> object:
        """Make this engine's one of a class that commands are handled with: once, at the start."""
        self._parts[made] = made(self)
        return self._parts[made]

    def part(self, made: Callable[..., Part]) -> Part:
        """Return what `make` has made of a class.

        Raises BrokenInvariant where it made none: what watches would watch from the first command
        on alone, and a KILL of a part would not be proven again after a death.
        """
        if made not in self._parts:
            raise BrokenInvariant(f"{made} is no @part: no engine has one from its start on")
        return cast("Part", self._parts[made])

    @property
    def plays_tape(self) -> bool:
        """True where a recording is played: nothing is received from outside."""
        return type(self.clock) is TapeClock

    def watch_every(
        self,
        period_ns: int,
        look: Callable[[int], None],
        *,
        on_tape: bool = True,
        from_start: bool = False,
    ) -> None:
        """Call `look` with the time once in each period while the engine runs, the first at once.

        `on_tape=False` = never where a recording is played; `from_start` = before it runs, too.
        """
        due_ns = 0

        def watch(now_ns: int) -> None:
            nonlocal due_ns
            if now_ns >= due_ns and (from_start or self.phase == RUNNING):
                due_ns = now_ns + period_ns
                look(now_ns)

        if on_tape or not self.plays_tape:
            self.watchers.append(watch)

    # -- KILL --------------------------------------------------------------------------------------

    def take_latch(self, latch: Latch, reason: str = "") -> None:
        """Take the KILL latch: cancel everything, pause every bot, begin the proof."""
        now_ns = self.clock.now_ns()
        if self.killed.is_set():
            return
        who = latch.who or "somebody, by hand"
        event = LatchSet(who=who, reason=reason or f"KILL at {log.iso(latch.at_ns)}")
        at_ns = min(latch.at_ns, now_ns)  # a recording that is played has times of its own
        self.begin_proof(f"kill-{latch.at_ns}", who=who, reason="KILL", at_ns=at_ns)
        for runner in self.runners.values():
            runner.latch(event, now_ns)
        if self.proving is not None:
            self.proving.cancels_sent(self.clock.now_ns())
        self.killed.set()
        for bot_runner in self.bot_runners.values():
            if bot_runner.may(BotHappened.PAUSE_ASKED):
                bot_runner.pause(now_ns, by_kill=True)
        apply_record(self.absent, event)
        self.log.warning("kill.taken", who=who)
        text = f"KILL by {who}: no order is placed before a person releases the latch"
        self.alert(alarm("kill", text), now_ns)

    def _kill_after_a_fall(self, now_ns: int) -> None:
        """Take the KILL that risk has set at one account: it is the desk's, as after a restart."""
        for account, runner in self.runners.items():
            executor = runner.core.executor
            if executor.latched and not self.killed.is_set():
                who = f"risk, account {account}"
                self.take_latch(Latch(who=who, at_ns=now_ns), executor.gate.breakers.latch_reason)
                self.keep_latch(who, now_ns)

    def keep_latch(self, who: str, now_ns: int) -> None:
        """Write the file of a latch that is taken; without it a restart has it from the journal."""
        try:
            set_latch(self.config.kill_path, who, now_ns)
        except OSError as error:
            text = f"the KILL latch is set, but its file could not be written: {error}"
            self.alert(alarm("latch_file", text), now_ns)

    def release(self, who: str, reason: str) -> None:
        """Release the latch. Raises BadInput without a reason or without the proof, OSError."""
        if not reason.strip():
            raise BadInput("type a reason to release the latch; nothing was changed")
        if self.proving is not None:
            raise BadInput("the KILL is not proven yet; its latch cannot be released")
        self.config.kill_path.unlink(missing_ok=True)
        now_ns = self.clock.now_ns()
        # An account that is closed reads it when it opens: its latch would be a KILL of all again.
        self.journal(LatchReleased(who=who, reason=reason, kill_only=True), now_ns)
        for runner in self.runners.values():
            runner.latch(LatchReleased(who=who, reason=reason, whole=True), now_ns)
        self.killed.clear()

    # -- the proof under way, over all accounts ----------------------------------------------------

    def begin_proof(
        self, name: str, *, who: str, reason: str, at_ns: int, what: str = KILL_PROOF
    ) -> None:
        """Begin to prove that nothing of ours is open anywhere; a proof under way is replaced."""
        before, outside = self._latest, self._outside()
        run = ProofRun(
            name=name,
            who=who,
            reason=reason,
            latched_ns=at_ns,
            proofs=outside,
            what=what,
            unread=self._unread,
            before=before,
        )
        for runner in self.runners.values():
            run.cover(runner, at_ns)
        self._prove(run)

    def _prove(self, run: ProofRun) -> None:
        self.proving = self._latest = run
        self.receipt = None
        self.needs_operator = False

    def prove_too(self, runner: AccountRunner, now_ns: int) -> None:
        """Let the latest proof cover an account opened since: until that is proven, nothing is."""
        if self._latest is not None:
            self._latest.cover(runner, now_ns)
            self._latest.restart_patience(now_ns)
            self._prove(self._latest)

    def on_proven(self, answer: ReceiptReported) -> None:
        """Call when the proof under way is done, or the latest one at once."""
        if self.proving is None and self.receipt is not None:
            answer(self.receipt)
        elif self._latest is not None:
            self._latest.waiting.append(answer)

    def prove(self, now_ns: int) -> None:
        """Look whether the proof is done; keep the receipt when it is, and what lacks meanwhile."""
        run = self.proving
        receipt = run.due(now_ns) if run else None
        if run is None or receipt is None:
            return
        self.needs_operator = not receipt.proven and run.needs_operator(receipt)
        self.receipt = receipt
        if receipt.proven:
            self.proving = None
        run.report(self, receipt)

    # -- as time passes ----------------------------------------------------------------------------

    def tick(self, now_ns: int) -> None:
        """Let shells, bots and proofs look at the clock, all in one go."""
        del now_ns
        for _ in self.moments():
            pass

    def moments(self) -> Iterator[None]:
        """Several times a second: let shells, bots and proofs look at the clock, in slices.

        Each account is one, and each bot that had something to do: none waits for the work of all.
        """
        for runner in tuple(self.runners.values()):
            runner.tick()
            yield
        self._kill_after_a_fall(self.clock.now_ns())
        for number, bot_runner in enumerate(tuple(self.bot_runners.values())):
            acted = bot_runner.watch(self.clock.now_ns())
            if acted or number % WATCHED_AT_ONCE == WATCHED_AT_ONCE - 1:
                yield
        now_ns = self.clock.now_ns()
        self.prove(now_ns)
        for watch in tuple(self.watchers):
            watch(now_ns)
        yield

    def second(self, now_ns: int) -> None:
        """Once a second: the clock's jump, what waits for a file, what is over."""
        self.journal_waiting()
        jump_ns = self.clock.jump_ns()
        leapt = f"the wall clock jumped by {jump_ns / 1e9:.1f} s" if jump_ns else ""
        # With a jump forward our time leaps: what is on its way needs its grace anew each time.
        self.health(CLOCK, leapt, anew=jump_ns > 0)
        halts = self.state.halts
        if self.health(STATE, halts):
            text = f"nothing is placed: {halts}"
            self.alert(alarm(STATE, text), now_ns)
        self._watch_files(now_ns)
        self.forget_closed(now_ns)
        if self.phase == RECONCILING and not self.recovering:
            self.enter(RUNNING, "every account was asked at its venue")
        if self.recorder.seq - self._snapshot_seq >= self._snapshot_every:
            self.snapshot()
        elif now_ns - self._learned_ns >= LEARNED_EVERY_NS:
            self._learned_ns = now_ns
            self._snapshot_bots()

    def health(self, source: str, reason: str, *, anew: bool = False) -> bool:
        """Report a source that fell ill (True) or got well; one that stays as it was is no news.

        `anew` = it fell ill now, also where it was ill before.
        """
        fell = False
        for account, runner in self.runners.items():
            known = runner.core.executor.unhealthy.get(source)
            if anew or (known is None) is bool(reason):
                fell |= bool(reason)
                runner.report(
                    HealthChanged(account=account, source=source, healthy=not reason, reason=reason)
                )
        return fell

    def _watch_files(self, now_ns: int) -> None:
        """Tell of a file that refuses for a while, and of its end, once that can be written."""
        failures = {
            "journal": self.recorder.failure,
            "state": self.state.failure,
            "projection": self.projector.failure,
        }
        for name, failure in failures.items():
            since_ns, reported = self._refusing.get(name, (now_ns, False))
            long_ns, text = now_ns - since_ns, ""
            if failure is not None:
                if long_ns >= REFUSING_NS and not reported:
                    reported, text = True, f"the {name} cannot be written, nothing lost: {failure}"
                self._refusing[name] = since_ns, reported
            elif self._refusing.pop(name, None) is not None and reported:
                text = f"the {name} is written again after {long_ns // 10**9} s; nothing lost"
            if text:
                lasted, again = f"{long_ns // 10**9} s", failure is None
                alert = alarm("storage_again" if again else "storage", text, refused_for=lasted)
                self.alert(alert, now_ns)

    @property
    def recovering(self) -> bool:
        """True while an account waits for the venue's word."""
        return any(runner.core.executor.recovering for runner in self.runners.values())

    def snapshot(self) -> None:
        """Keep the state of every account and bot; what follows is the tail of the next start."""
        seq = self.recorder.seq
        if not seq:
            return
        for account, runner in self.runners.items():
            self.recorder.snapshot(f"executor:{account}", runner.core.executor.snapshot(), seq)
        self._snapshot_bots()
        self._snapshot_seq = seq

    def _snapshot_bots(self) -> None:
        """Keep what the bots have learned, so that a crash does not make them warm up again."""
        known = self.settings.document.bots
        now_ns = self.clock.now_ns()
        bots = {name: one for name, one in self.absent.items() if name in known}
        bots |= {name: bot_runner.snapshot(now_ns) for name, bot_runner in self.bot_runners.items()}
        if self.recorder.seq:
            self.recorder.snapshot(BOTS, msgspec.msgpack.encode(bots), self.recorder.seq)
