"""The recordings of a house: begun and ended by commands, measured each second, taken up again.

What they hold stands in the state; their frames are under `recordings` in the home.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.domain.commands import StartRecording, StopRecording
from engine.domain.effects import RaiseAlert, Severity
from engine.errors import BadInput
from engine.live.engine import Engine
from engine.live.recording_sources import known, source_of, venue_of
from engine.runtime.recording import AT_ONCE_MAX, LiveRecording, checked
from storage.commands import CommandState
from storage.database import transaction
from storage.recordings import (
    RecordingSeen,
    RecordingState,
    begin_recording,
    end_recording,
    note_figures,
    unended,
)

Reply = Callable[[CommandState, str], None]
Ask = Callable[[Callable[[Any], str], Reply], None]
"""Does something where files are written; its words, or its refusal, are the answer."""


class Recordings:
    """The recordings of one house. Everything here is on the loop's thread."""

    def __init__(self, house: Engine, ask: Ask) -> None:
        self._house = house
        self._ask = ask
        self._loop = house.ended.get_loop()
        self._running: dict[str, LiveRecording] = {}
        self._begun = False

    def watch(self, now_ns: int) -> None:
        """Once a second: take up what was recording when the engine ended, measure what runs."""
        if not self._begun:
            self._begun = True
            self._house.state.do(self._go_on)
        for recording in self._running.values():
            self._measure(recording, now_ns)

    def start(self, command: StartRecording, who: str, reply: Reply) -> None:
        """Begin a recording; answered when it stands in the state. Raises BadInput."""
        house = self._house
        venue = venue_of(command.instruments)
        checked(command.name, command.instruments, known(house, venue, command.instruments))
        if len(self._running) >= AT_ONCE_MAX:
            raise BadInput(f"{AT_ONCE_MAX} recordings run already: stop one of them first")
        now_ns = house.clock.now_ns()
        seen = RecordingSeen(
            name=command.name, instruments=command.instruments, who=who, started_ns=now_ns,
            events=0, gaps=0, first_ns=None, last_ns=None,
        )  # fmt: skip
        folder = house.config.recordings_folder / command.name

        def do(connection: Any) -> str:
            if folder.exists():
                raise BadInput(f"{folder} is there already; choose another name")
            begin_recording(
                connection, engine_id=house.engine_id, name=seen.name,
                instruments=seen.instruments, who=who, now_ns=now_ns,
            )  # fmt: skip
            self._loop.call_soon_threadsafe(self._record, seen, False)
            return f"recording {seen.name} has begun"

        self._ask(do, reply)

    def stop(self, command: StopRecording, who: str, reply: Reply) -> None:
        """End a recording; answered when everything heard is in a file."""
        recording = self._running.get(command.name)
        if recording is None:
            running = ", ".join(sorted(self._running)) or "none"
            raise BadInput(f"{command.name!r} does not record; those that do: {running}")
        recording.told = lambda text: reply(CommandState.DONE, text)
        recording.stop(RecordingState.STOPPED, f"stopped by {who}")

    def _go_on(self, connection: Any) -> None:
        """Take up what was recording when the engine ended."""
        for seen in unended(connection, self._house.engine_id):
            self._loop.call_soon_threadsafe(self._record, seen, True)

    def _record(self, seen: RecordingSeen, resumed: bool) -> None:
        if seen.name in self._running:
            return  # begun by a command before the first look at what is to be taken up
        house = self._house
        folder = house.config.recordings_folder / seen.name

        def ended(state: RecordingState, reason: str) -> None:
            self._over(seen.name, state, reason)

        recording = LiveRecording(seen, folder, house.clock, resumed=resumed, ended=ended)
        self._running[seen.name] = recording
        source = source_of(house, seen.instruments)
        house.spawn(lambda: recording.run(source))

    def _measure(self, recording: LiveRecording, now_ns: int) -> None:
        """Write what a recording holds, and end it where a limit is reached."""
        house, name = self._house, recording.seen.name

        def write(connection: Any) -> None:
            try:
                if not recording.folder.is_dir():
                    return
                figures = recording.figures()
                limit = recording.limit(figures)
            except OSError as error:
                # This thread writes the whole state: a folder must not end it.
                house.log.warning("recording.unmeasured", name=name, reason=str(error))
                return
            note_figures(connection, house.engine_id, name, figures, now_ns)
            if limit:
                self._loop.call_soon_threadsafe(recording.stop, RecordingState.STOPPED, limit)

        house.state.put(f"recording:{name}", write)

    def _over(self, name: str, state: RecordingState, reason: str) -> None:
        """Write how a recording ended."""
        house, now_ns = self._house, self._house.clock.now_ns()
        recording = self._running.pop(name)
        if state is RecordingState.FAILED:
            text = f"recording {name}: {reason}"
            alert = RaiseAlert(severity=Severity.WARNING, kind="recording", text=text)
            house.alert(alert, now_ns)

        def write(connection: Any) -> None:
            try:
                figures = recording.figures()
            except OSError:
                figures = recording.figures(size=0)
            with transaction(connection):
                note_figures(connection, house.engine_id, name, figures, now_ns)
                end_recording(
                    connection, house.engine_id, name, state=state, reason=reason, now_ns=now_ns
                )
            size = f"{figures.events:,} events, {figures.bytes / 1e6:.1f} MB"
            self._loop.call_soon_threadsafe(
                recording.told, f"recording {name} has ended, {reason}: {size}"
            )

        house.state.do(write)
