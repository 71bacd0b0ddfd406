"""The engine: dead, hung, stopped, restarting again and again, not started after a reboot."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from engine.watch.desk import SECOND_NS, Desk, Trouble, process_words, program_name
from engine.watch.starts import RESTARTS, WITHIN_NS, ProgramStarts, again
from storage.phases import STOPPED, EnginePhase
from storage.supervisor import ProgramStatus

STALE_NS = 45 * SECOND_NS
"""How old the heartbeat may be; the engine writes one each second."""

STARTS_NS = 120 * SECOND_NS
"""How long a start may take until its first heartbeat: it imports, and reads the journal."""

DEAD_NS = 10 * SECOND_NS
"""How long the engine may be away: supervisor starts it again within seconds."""

BOOT_NS = 120 * SECOND_NS
"""How long a start of the desk after a reboot may take."""

UP = ("RUNNING", "STARTING", "STOPPING")
ENGINE = "engine"


class EngineProbe:
    """Compares what supervisor says with the heartbeat."""

    every_s = 1.0

    def __init__(self) -> None:
        self._away_ns = 0
        self._starts = ProgramStarts(ENGINE)
        self._stopped_ns: int | None = None
        """The stop that was read last, ns UTC; 0 = there was none yet, None = not read yet."""
        self._ahead = (0, 0)
        """A sign of life that is later than now, and when it was seen first."""

    def look(self, desk: Desk, now_ns: int) -> Iterator[Trouble]:
        """Give what is wrong with the engine."""
        program = desk.program(ENGINE)
        yield from self._restarts(desk, program, now_ns)
        if desk.programs is None and desk.heartbeat is None:
            return  # no supervisor and no state: others tell of both
        pid = program.pid if program else (desk.heartbeat.pid if desk.heartbeat else 0)
        stands = process_words(pid) if pid else None
        up = program.state in UP if program else stands is not None and _is_engine(pid)
        if up:
            self._away_ns = 0
            yield from self._hung(desk, pid, stands or "", program, now_ns)
            return
        self._away_ns = min(self._away_ns or now_ns, now_ns)
        stood = desk.stood("engine_dead", "engine_stopped", "engine_not_started")
        if now_ns - self._away_ns >= DEAD_NS or stood:
            yield from self._dead(desk, program, now_ns)

    def _hung(
        self, desk: Desk, pid: int, stands: str, program: ProgramStatus | None, now_ns: int
    ) -> Iterator[Trouble]:
        beat = desk.heartbeat
        if beat is None or (program is not None and program.state == "STOPPING"):
            return
        since_ns = max(beat.heartbeat_ns, program.start_s * SECOND_NS if program else 0)
        if since_ns > now_ns:  # of before the clock went back: it ages from when that was seen
            if self._ahead[0] != since_ns or self._ahead[1] > now_ns:
                self._ahead = since_ns, now_ns
            since_ns = self._ahead[1]
        age_s, stand = (now_ns - since_ns) // SECOND_NS, stands or "alive"
        starts = program is not None and program.start_s * SECOND_NS > beat.heartbeat_ns
        if now_ns - since_ns > (STARTS_NS if starts else STALE_NS):
            text = f"the engine's heartbeat is {age_s:,} s old; its process {pid} is {stand}"
            if starts:
                text = f"the engine began {age_s:,} s ago without a heartbeat; {pid} is {stand}"
            yield Trouble(kind="engine_hung", text=text, numbers={"heartbeat age": f"{age_s} s"})

    def _dead(self, desk: Desk, program: ProgramStatus | None, now_ns: int) -> Iterator[Trouble]:
        beat = desk.heartbeat
        stopped = program.state == "STOPPED" if program else beat and beat.state == "STOPPED"
        if program is not None and program.state == "EXITED" and program.exit_code == 0:
            stopped = True
        if stopped:
            yield Trouble(kind="engine_stopped", text=_stop_said(desk.last_phase))
            return
        said = f"supervisor says {program.state}, {program.words}" if program else "no process"
        if program is not None and program.exit_code:
            said += f", last exit code {program.exit_code}"
        if why := _last_error(desk.place.home):
            said += f"; {why}"
        if beat is not None:
            age_s = (now_ns - beat.heartbeat_ns) // SECOND_NS
            said += f"; its last heartbeat is {age_s:,} s old"
        booted_ns = boot_ns()
        if booted_ns and beat is not None and beat.heartbeat_ns < booted_ns:
            if now_ns - desk.began_ns >= BOOT_NS or desk.stood("engine_not_started"):
                yield Trouble(kind="engine_not_started", text=said)
            return
        yield Trouble(kind="engine_dead", text=said)

    def _restarts(
        self, desk: Desk, program: ProgramStatus | None, now_ns: int
    ) -> Iterator[Trouble]:
        """Count the starts within ten minutes that followed an end by itself.

        A start that was asked for is none: by the engine's switch, an upgrade, a restore. They are
        those the watch saw, remembered over a restart of ours, or those the engine wrote down: they
        happened also where no look fell between two, and are none where the state is unreadable.
        """
        self._look_for_stop(desk)
        instead = None
        if program is None and desk.heartbeat is not None:
            instead = (desk.heartbeat.pid, desk.heartbeat.started_ns // SECOND_NS)
        seen = self._starts.look(program, desk.meta, now_ns, instead=instead)
        written = sum(now_ns - WITHIN_NS < at_ns <= now_ns for at_ns in desk.restarts_ns)
        count = max(seen, written)
        if count >= RESTARTS:
            text = again("the engine", count)
            if why := _last_error(desk.place.home):
                text += f"; {why}"
            numbers = {"starts in 10 min": str(count)}
            yield Trouble(kind="engine_restarting", text=text, numbers=numbers)

    def _look_for_stop(self, desk: Desk) -> None:
        """Note a stop that the engine wrote down, also where no look fell into it."""
        if desk.stopped_ns is not None:
            if self._stopped_ns is not None and desk.stopped_ns != self._stopped_ns:
                self._starts.ask()
            self._stopped_ns = desk.stopped_ns


def _stop_said(last: EnginePhase | None) -> str:
    """Say that the engine was stopped, and what its stop has proved, where that is known."""
    said = "the engine was stopped and does not run"
    if last is None:
        return said
    if last.phase == STOPPED:
        return f"{said}; {last.reason}"
    return f"{said}; it ended in {last.phase}: that nothing is open is NOT PROVEN"


def _is_engine(pid: int) -> bool:
    """Say whether a process may be an engine: another program may have been given its number."""
    name = program_name(pid)
    return not name or "python" in name or "engine" in name


def _last_error(home: Path) -> str:
    """Return the last sentence a program left where it ended by itself; empty = none."""
    try:
        lines = (home / "run" / "last_error").read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1][:300] if lines else ""


def boot_ns() -> int:
    """Return when this machine was started, in ns UTC; 0 = not known."""
    try:
        text = Path("/proc/stat").read_text()
    except OSError:
        return 0
    found = [line.split()[1] for line in text.splitlines() if line.startswith("btime ")]
    return int(found[0]) * SECOND_NS if found else 0


PROBE = EngineProbe
