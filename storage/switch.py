"""The engine's own switch: started and stopped through supervisor, a stop with its receipt.

Pages and the command line use it alike; the desk's other programs go on. `start_paused` is a mark
the engine's start takes: every bot is paused in the journal before the first order.

A state file of an older version is brought up to date by a start, as `make run` does it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from engine.errors import BadRequest, NoEngine, StorageError
from storage import supervisor
from storage.commands import STOP_PROOF, Receipt, latest_receipt
from storage.database import filled, note, reading, transaction, writing
from storage.files import write_whole
from storage.phases import INIT, LOADING, STOPPED, phases
from storage.projection import bring_up_to_date
from storage.supervisor import FAILURES, ProgramStatus, SupervisorFault
from storage.users import ENGINE_ID

PROGRAM = "engine"
READERS = ("worker", "watch", "dashboard")
"""Programs that have the state file open and know the schema of the version they began with."""
SECOND_NS = 1_000_000_000
PHASES_READ = 50
WAIT_S = 90.0
"""What a stop or a start may take: supervisor kills an engine that stops for longer than 60 s."""

ASK_S = 0.2
DOWN = frozenset({"STOPPED", "EXITED", "FATAL"})
STOPS_ALREADY = "stopping"
"""The reason of a refused stop: the whole desk ends already."""


class StopResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a stop did."""

    ran: bool
    """False = the engine was not running, and nothing was done."""
    took_s: float = 0.0
    receipt: Receipt | None = None
    """None = this stop left none: nothing is proven."""
    before: bool = False
    """True = the engine was stopped before it had opened an account, and the receipt is that of
    the stop before: no engine of this home has placed anything since."""

    @property
    def proven(self) -> bool:
        return self.receipt is not None and self.receipt.proven

    def sentence(self) -> str:
        if not self.ran:
            return "the engine was not running"
        if self.receipt is None:
            return (
                f"stopped after {self.took_s:.1f} s, NOT PROVEN: this stop left no receipt; "
                "`engine kill` proves that nothing is open"
            )
        if self.before:
            return (
                f"stopped after {self.took_s:.1f} s, before it had opened an account. Of the stop "
                f"before it: {self.receipt.sentence()}"
            )
        return f"{self.receipt.sentence()}, {self.took_s:.1f} s; stopped"


class EngineSwitch(msgspec.Struct, frozen=True, kw_only=True):
    """The switch of one desk."""

    run_folder: Path
    state_path: Path
    start_paused_path: Path

    def status(self) -> ProgramStatus:
        """Return the engine as supervisor has it. Raises NoEngine where no desk runs."""
        path = supervisor.socket_in(self.run_folder)
        try:
            return supervisor.program(path, PROGRAM)
        except FAILURES as error:
            raise self._no_desk() from error

    def start(self, journal: Path, *, paused: bool) -> str:
        """Start the engine on a state file as this version needs it; return what to say.

        Raises BadRequest where it runs or does not start, NoEngine where no desk runs, StorageError
        where the state file, whose journal is at `journal`, cannot be brought up to date.
        """
        now = self.status()
        if now.state in (supervisor.RUNNING, supervisor.STARTING):
            raise BadRequest(f"the engine runs already, process {now.pid}", "already_runs")
        if paused:
            write_whole(self.start_paused_path, b"by the engine's switch\n")
        newer = self._bring_up_to_date(journal)
        try:
            self._call("startProcess")
        except SupervisorFault as fault:
            why = self._last_error() or fault.faultString
            raise BadRequest(f"the engine does not start: {why}", "not_started") from None
        with_what = "; every bot that would trade is paused" if paused else ""
        return f"started{with_what}: process {self.status().pid}{newer}"

    def _bring_up_to_date(self, journal: Path) -> str:
        """Migrate an older state file with a copy of it; return what to say, empty = nothing.

        The programs that know the former schema are started again, but for the one that asks: it
        has just brought the file to its own.
        """
        if not filled(self.state_path):
            return ""  # the engine's own start says what is lost
        kept = bring_up_to_date(self.state_path, journal)
        if kept is None:
            return ""
        again = list[str]()
        for name, one in supervisor.programs(supervisor.socket_in(self.run_folder)).items():
            if name in READERS and one.state == supervisor.RUNNING and one.pid != os.getpid():
                with suppress(SupervisorFault):  # it ended by itself: supervisor starts it again
                    self._call("stopProcess", name)
                self._call("startProcess", name)
                again.append(name)
        others = f", and {', '.join(again)} started again with it" if again else ""
        return f"; the state was brought up to date{others}, the one before is kept in {kept}"

    def stop(self, clock: Callable[[], int]) -> StopResult:
        """Stop the engine and wait for its end; `clock` gives ns UTC.

        Raises BadRequest where it cannot be stopped, NoEngine where no desk runs.
        """
        began_ns = clock()
        try:
            self._call("stopProcess")
        except SupervisorFault as fault:
            if fault.faultCode == supervisor.NOT_RUNNING:
                return StopResult(ran=False)
            if fault.faultCode == supervisor.SHUTTING_DOWN:
                text = "the desk is stopping already: `python -m engine down` waits for its proof"
                raise BadRequest(text, STOPS_ALREADY) from None
            text = f"the engine is not stopped: {fault.faultString}"
            raise BadRequest(text, "not_stopped") from None
        took_s = (clock() - began_ns) / SECOND_NS
        found = self.receipt(began_ns)
        before = None if found else self._receipt_before()
        return StopResult(
            ran=True, took_s=took_s, receipt=found or before, before=before is not None
        )

    def _receipt_before(self) -> Receipt | None:
        """Return the receipt of the last stop where no engine has opened an account since.

        One that is stopped while it is imported or loaded leaves no receipt: it took no signal yet.
        """
        with reading(self.state_path) as connection:
            kept = phases(connection, ENGINE_ID, most=PHASES_READ)
            last = next((one for one in kept if one.phase not in (INIT, LOADING)), None)
            if last is None or last.phase != STOPPED:
                return None
            found = latest_receipt(connection, ENGINE_ID, STOP_PROOF)
        return found if found is not None and found.reported_ns <= last.at_ns else None

    def wait_for_end(self, clock: Callable[[], int], *, end_s: float = WAIT_S) -> StopResult:
        """Wait for the end of an engine that another asked to end; return what it has proved.

        `clock` gives ns UTC, `end_s` seconds at most. Raises StorageError where the state file
        cannot be read.
        """
        path = supervisor.socket_in(self.run_folder)
        began_ns, runs = clock(), False
        for _ in range(round(end_s / ASK_S)):
            try:
                if supervisor.program(path, PROGRAM).state in DOWN:
                    break
            except SupervisorFault as fault:
                # While all ends supervisor says of none how it stands: the engine's row does.
                if fault.faultCode != supervisor.SHUTTING_DOWN or self._is_stopped():
                    break
            except FAILURES:
                break  # no supervisor, and none of its programs
            runs = True
            time.sleep(ASK_S)
        receipt = self.receipt(began_ns - round(end_s * SECOND_NS))
        if receipt is None:
            return StopResult(ran=runs, took_s=(clock() - began_ns) / SECOND_NS)
        took_s = (receipt.reported_ns - receipt.latched_ns) / SECOND_NS
        return StopResult(ran=True, took_s=took_s, receipt=receipt)

    def _is_stopped(self) -> bool:
        """Say whether no engine has begun here since the last stop. Raises StorageError."""
        with reading(self.state_path) as connection:
            last = phases(connection, ENGINE_ID, most=1)
        return not last or last[0].phase == STOPPED

    def noted(self, what: str, said: str, *, owner: str, who: str, now_ns: int) -> str:
        """Keep in the audit of `owner` what the switch did; return it as it is to be said.

        An engine that was stopped is stopped, also where the state file does not take the row.
        """
        try:
            with writing(self.state_path) as connection, transaction(connection):
                note(connection, owner, now_ns, who, f"engine {what}", said=said)
        except StorageError as error:
            return f"{said}; the audit could not take it: {error}"
        return said

    def receipt(self, since_ns: int) -> Receipt | None:
        """Return the receipt of a stop that began at `since_ns` or later, None where none is."""
        with reading(self.state_path) as connection:
            found = latest_receipt(connection, ENGINE_ID, STOP_PROOF)
        return found if found is not None and found.latched_ns >= since_ns else None

    def _call(self, method: str, program: str = PROGRAM) -> None:
        path = supervisor.socket_in(self.run_folder)
        try:
            supervisor.call(path, method, program, True, timeout_s=WAIT_S)
        except SupervisorFault:
            raise
        except FAILURES as error:
            raise self._no_desk() from error

    def _no_desk(self) -> NoEngine:
        path = supervisor.socket_in(self.run_folder)
        return NoEngine(f"no desk runs here ({path} does not answer): start it with `make run`")

    def _last_error(self) -> str:
        try:
            return (self.run_folder / "last_error").read_text(encoding="utf-8").strip()
        except OSError:
            return ""
