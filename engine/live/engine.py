"""The house: everything of one running engine that is not one account's, on the loop's thread."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from engine import log
from engine.clock import TapeClock, WallClock
from engine.config import Config
from engine.domain.bots import BotHappened, may
from engine.domain.commands import Command
from engine.domain.effects import RaiseAlert, Severity
from engine.domain.events import (
    Event,
    HealthChanged,
    InstrumentClosed,
    InstrumentListed,
    InstrumentResolved,
    LatchReleased,
    LatchSet,
)
from engine.domain.inputs import KIND, AnyInput, pack_input
from engine.domain.instruments import AccountId, InstrumentId, Mode
from engine.errors import BadInput, StorageError
from engine.gateway.door import Venue
from engine.live.bot_runner import BotRunner, BotSnapshot, folded
from engine.live.kill import KillWatch
from engine.live.proof import ProofRuns
from engine.risk.gate import RiskGate
from engine.runtime.account_runner import AccountRunner
from engine.runtime.decisions import DecisionLog
from engine.runtime.journal import SNAPSHOT_EVERY, JournalWriter
from engine.runtime.meter import Meter
from engine.runtime.recovery import BOTS, HOUSE
from engine.runtime.state_writer import Projector, StateKeeper
from engine.runtime.tape import Tape
from storage.alerts import raise_alert
from storage.latch import Latch, set_latch
from storage.live import put_instrument, put_payout
from storage.markouts import resolve
from storage.settings import SettingsVersion

if TYPE_CHECKING:
    from engine.live.accounts import Accounts

UNKEPT_MAX = 10_000
"""Most events that wait for a journal that is full; with one more the engine ends."""

REFUSING_NS = 5 * 1_000_000_000
"""How long a file may refuse before a person hears of it: a lock of a moment is nothing."""

FORGET_AFTER_NS = 600 * 1_000_000_000
"""How long a closed instrument stays in the caches: late settlements arrive within seconds."""

LEARNED_EVERY_NS = 20 * 1_000_000_000
"""How often the bots' learning is kept: a few kilobytes."""

CLOCK = "clock"
STATE = "state"
"""Health source: too many rows wait for the state file."""

Stream = Callable[[], Coroutine[Any, Any, None]]
"""Makes what lasts as long as the engine."""


class ClosingVenue(Venue, Protocol):
    """A venue with connections of its own."""

    async def close(self) -> None:
        """Close them."""
        ...


class Engine(ProofRuns):
    """What all accounts share. `ended` is set where the engine must end, with the error if any."""

    accounts: Accounts
    spawn: Callable[[Stream], None]
    unlock_key = ""
    """For which a vault's passphrase is sealed, base64; this start alone can read it."""
    absent: dict[str, BotSnapshot]
    """Bots whose account is closed, as they were last seen: they are not forgotten."""
    kept_seq: int
    """The last record that concerns every account."""
    _tape_refused = False

    def __init__(
        self,
        config: Config,
        *,
        engine_id: str,
        clock: WallClock | TapeClock,
        recorder: JournalWriter,
        taper: Tape,
        decisions: DecisionLog,
        settings: SettingsVersion,
    ) -> None:
        self.config = config
        self.engine_id = engine_id
        self.clock = clock
        self.wall_ns: Callable[[], int] = clock.now_ns
        """What people and pages go by; a tape's trades go by `clock`."""
        self.recorder = recorder
        self.decisions = decisions
        self.settings = settings
        self.meter = Meter()
        self.shells: dict[AccountId, AccountRunner] = {}
        self.gates: dict[AccountId, RiskGate] = {}
        self.venues: dict[AccountId, ClosingVenue] = {}
        self.seats: dict[str, BotRunner] = {}
        self.absent = {}
        self.state: StateKeeper
        self.projector: Projector
        self.watch: KillWatch
        self.phase = "LOADING"
        self.started_ns = clock.now_ns()
        self.log = log.get("engine")
        self.ended: asyncio.Future[BaseException | None] = (
            asyncio.get_running_loop().create_future()
        )
        self._nothing_proven()
        self._taper = taper
        self._unkept: deque[tuple[Event | Command, int]] = deque()
        self._refusing: dict[str, tuple[int, bool]] = {}
        """File that refuses → since when, and whether a person was told."""
        self._snapshot_seq = self.kept_seq = recorder.seq
        self._learned_ns = self.started_ns
        self._closed: deque[tuple[int, InstrumentId]] = deque()

    # -- what everybody tells ----------------------------------------------------------------------

    def tape(self, kind: str, payload: bytes, at_ns: int) -> None:
        """Put what was received on the tape; a tape that refuses is told once, trading goes on."""
        try:
            self.recorder.tape = self._taper.append(kind, payload, at_ns)
            self._tape_refused = False
        except StorageError as error:
            if not self._tape_refused:
                self._tape_refused = True
                text = str(error)
                self.alert(RaiseAlert(severity=Severity.CRITICAL, kind="tape", text=text), at_ns)

    def put(self, given: AnyInput, at_ns: int) -> None:
        """Put on the tape what a desk was given."""
        self.tape(KIND, pack_input(given), at_ns)

    def keep(self, event: Event | Command, at_ns: int) -> None:
        """Journal what concerns every account, and tell the catalog."""
        self._unkept.append((event, at_ns))
        self._keep_waiting()
        engine_id = self.engine_id
        match event:
            case InstrumentListed(instrument=instrument):
                self.state.write(lambda c: put_instrument(c, engine_id, instrument, at_ns))
            case InstrumentResolved(instrument=name, payout_yes_micro=payout):
                self.state.write(lambda c: put_payout(c, engine_id, name, payout, at_ns))
                self.state.write(lambda c: resolve(c, engine_id, name, payout))
                # Where it was held, its close was too early to forget it.
                self._closed.append((at_ns + FORGET_AFTER_NS, name))
            case InstrumentClosed(instrument=name):
                self._closed.append((at_ns + FORGET_AFTER_NS, name))
            case _:
                pass

    def _keep_waiting(self) -> None:
        try:
            while self._unkept:
                self.kept_seq = self.recorder.append(HOUSE, *self._unkept[0])
                self._unkept.popleft()
        except StorageError as error:
            # The journal's own refusal is told by every shell, and halts it; these wait.
            if len(self._unkept) > UNKEPT_MAX:
                self.end(error)

    @property
    def all_kept(self) -> bool:
        """Say whether the journal has taken everything that concerns every account."""
        return not self._unkept

    def alert(self, alert: RaiseAlert, at_ns: int) -> None:
        """Tell a person."""
        self.log.warning("alert", kind=alert.kind, text=alert.text, severity=str(alert.severity))
        shell = self.shells.get(alert.account) if alert.account else None
        mode: Mode | None = shell.desk.executor.mode if shell else None
        engine_id = self.engine_id
        self.state.write(lambda c: raise_alert(c, engine_id, alert, mode, at_ns))

    def crash(self, error: BaseException) -> None:
        """End the engine because of an error. May be called from any thread."""
        self.ended.get_loop().call_soon_threadsafe(self.end, error)

    def end(self, error: BaseException | None = None) -> None:
        """End the engine, orderly where there is no error."""
        if not self.ended.done():
            self.ended.set_result(error)

    def closed(self) -> None:
        """Close the tape, the last thing that may be written."""
        try:
            self._taper.close()
        except StorageError as error:
            self.log.warning("close", refused=str(error))

    # -- KILL --------------------------------------------------------------------------------------

    def take_latch(self, latch: Latch) -> None:
        """Take the KILL latch: cancel everything, pause every bot, begin the proof."""
        now_ns = self.clock.now_ns()
        if self.watch.taken.is_set():
            return
        who = latch.who or "somebody, by hand"
        event = LatchSet(who=who, reason=f"KILL at {log.iso(latch.at_ns)}")
        self.begin_proof(f"kill-{latch.at_ns}", who=who, reason="KILL", at_ns=latch.at_ns)
        for shell in self.shells.values():
            shell.latch(event, now_ns)
        if self.proving is not None:
            self.proving.first_cancel_ns = self.clock.now_ns()
        self.watch.taken.set()
        for seat in self.seats.values():
            if may(seat.bot.state, BotHappened.PAUSE_ASKED):
                seat.pause(now_ns)
        folded(self.absent, event)
        self.log.warning("kill.taken", who=who)
        text = f"KILL by {who}: no order is placed before a person releases the latch"
        self.alert(RaiseAlert(severity=Severity.CRITICAL, kind="kill", text=text), now_ns)

    def keep_latch(self, who: str, now_ns: int) -> None:
        """Write the file of a latch that is taken; without it a restart has it from the journal."""
        try:
            set_latch(self.config.kill_path, who, now_ns)
        except OSError as error:
            text = f"the KILL latch is set, but its file could not be written: {error}"
            self.alert(RaiseAlert(severity=Severity.CRITICAL, kind="latch_file", text=text), now_ns)

    def release(self, who: str, reason: str) -> None:
        """Release the latch. Raises BadInput without a reason or without the proof, OSError."""
        if not reason.strip():
            raise BadInput("type a reason to release the latch; nothing was changed")
        if self.proving is not None:
            raise BadInput("the KILL is not proven yet; its latch cannot be released")
        self.config.kill_path.unlink(missing_ok=True)
        now_ns = self.clock.now_ns()
        for shell in self.shells.values():
            shell.latch(LatchReleased(who=who, reason=reason), now_ns)
        self.watch.taken.clear()

    # -- as time passes ----------------------------------------------------------------------------

    def tick(self, now_ns: int) -> None:
        """Several times a second: let shells, bots and proofs look at the clock."""
        for shell in self.shells.values():
            shell.tick()
        for seat in self.seats.values():
            seat.watch(now_ns)
        self.prove(now_ns)
        for watch in self.watchers:
            watch(now_ns)

    def second(self, now_ns: int) -> None:
        """Once a second: the clock's jump, what waits for a file, what is over."""
        self._keep_waiting()
        jump_ns = self.clock.jump_ns()
        self._health(CLOCK, f"the wall clock jumped by {jump_ns / 1e9:.1f} s" if jump_ns else "")
        halts = self.state.halts
        if self._health(STATE, halts):
            text = f"nothing is placed: {halts}"
            self.alert(RaiseAlert(severity=Severity.CRITICAL, kind=STATE, text=text), now_ns)
        self._watch_files(now_ns)
        self.forget_closed(now_ns)
        if self.phase == "RECONCILING" and not self.recovering:
            self.phase = "RUNNING"
        if self.recorder.seq - self._snapshot_seq >= SNAPSHOT_EVERY:
            self.snapshot()
        elif now_ns - self._learned_ns >= LEARNED_EVERY_NS:
            self._learned_ns = now_ns
            self._snapshot_bots()

    def _health(self, source: str, reason: str) -> bool:
        """Report a source that fell ill (True) or got well; one that stays as it was is no news."""
        fell = False
        for account, shell in self.shells.items():
            known = shell.desk.executor.unhealthy.get(source)
            if (known is None) is bool(reason):
                fell |= bool(reason)
                shell.report(
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
            since_ns, told = self._refusing.get(name, (now_ns, False))
            long_ns, text, severity = now_ns - since_ns, "", Severity.CRITICAL
            if failure is not None:
                if long_ns >= REFUSING_NS and not told:
                    told, text = True, f"the {name} refuses; what waits is kept: {failure}"
                self._refusing[name] = since_ns, told
            elif self._refusing.pop(name, None) is not None and told:
                severity = Severity.WARNING
                text = f"the {name} is written again after {long_ns // 10**9} s; none is lost"
            if text:
                self.alert(RaiseAlert(severity=severity, kind="storage", text=text), now_ns)

    def forget_closed(self, now_ns: int) -> None:
        """Drop markets that are long over."""
        while self._closed and self._closed[0][0] <= now_ns:
            _, instrument = self._closed.popleft()
            for shell in self.shells.values():
                shell.desk.forget(instrument, now_ns, held=False)

    @property
    def recovering(self) -> bool:
        """True while an account waits for the venue's word."""
        return any(shell.desk.executor.recovering for shell in self.shells.values())

    def snapshot(self) -> None:
        """Keep the state of every account and bot; what follows is the tail of the next start."""
        seq = self.recorder.seq
        if not seq:
            return
        for account, shell in self.shells.items():
            self.recorder.snapshot(f"executor:{account}", shell.desk.executor.snapshot(), seq)
        self._snapshot_bots()
        self._snapshot_seq = seq

    def _snapshot_bots(self) -> None:
        """Keep what the bots have learned, so that a crash does not make them warm up again."""
        known = self.settings.document.bots
        bots = {name: kept for name, kept in self.absent.items() if name in known}
        bots |= {name: seat.kept() for name, seat in self.seats.items()}
        if self.recorder.seq:
            self.recorder.snapshot(BOTS, msgspec.msgpack.encode(bots), self.recorder.seq)
