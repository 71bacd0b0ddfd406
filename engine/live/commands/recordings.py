"""The recordings of an engine: begun and ended by commands, measured each second, taken up again.

What they hold stands in the state; their frames are under `recordings` in the home.
"""

from __future__ import annotations

from collections.abc import Sequence
from sqlite3 import Connection

from engine.domain.commands import StartRecording, StopRecording
from engine.domain.effects import caution
from engine.domain.events import Event
from engine.domain.instruments import Mode
from engine.errors import BadInput
from engine.live.accounts import Accounts
from engine.live.commands.registry import Done, Pending, command, part, where_files_are_written
from engine.live.engine import Engine
from engine.runtime.recording import AT_ONCE_MAX, LiveRecording, checked
from engine.runtime.venue_plugin import MarketData
from engine.venues.registry import plugins
from storage.database import transaction
from storage.jobs import (
    RecordingSeen,
    RecordingState,
    begin_recording,
    end_recording,
    note_figures,
    unended,
)

# A recording listens where the venue's plug-in says: at a connection of its own, or as one more
# that wants markets beside the accounts, which keeps them received while no bot does.


def venue_of(instruments: Sequence[str]) -> str:
    """Return which venue a recording listens to; series alone are those of the play money.

    Raises BadInput where there are two.
    """
    venues = list(dict.fromkeys(one.partition(":")[0] for one in instruments if ":" in one))
    if len(venues) > 1:
        raise BadInput(
            f"a recording covers one venue, these are of {' and '.join(venues)}: start one each"
        )
    return venues[0] if venues else next(n for n, p in plugins().items() if Mode.DEMO in p.modes)


def market_of(engine: Engine, instruments: Sequence[str]) -> MarketData:
    """Return where to listen for these instruments. Raises BadInput."""
    venue, markets = venue_of(instruments), engine.part(Accounts).venues.markets
    if venue not in markets:
        raise BadInput(f"nothing is received of {venue!r}: there are {', '.join(markets)}")
    return markets[venue]


def known(engine: Engine, asked: Sequence[str]) -> set[str]:
    """Return which instruments and series can be recorded with those asked for. Raises BadInput."""
    venue, market = venue_of(asked), market_of(engine, asked)
    accounts = engine.settings.document.accounts.values()
    if why := engine.part(Accounts).venues.unreceived(venue, accounts):
        raise BadInput(why)
    views = [
        view.instrument
        for runner in engine.runners.values()
        for view in runner.core.cache.views.values()
    ]
    listed = [one for one in views if one.id.startswith(f"{venue}:")]
    found = {str(one.id) for one in listed} | {one.series for one in listed if one.series}
    found |= {one for one in asked if market.may_be(one)}
    elsewhere = {one.series: one.id.partition(":")[0] for one in views if one not in listed}
    for one in asked:
        if one not in found and (other := elsewhere.get(one)):
            raise BadInput(
                f"{one} is a series of {plugins()[other].title}: name one of its markets, "
                f"{other}:…, beside it, so that it is plain which venue is meant"
            )
    return found


LOOK_NS = 1_000_000_000


@part
class Recordings:
    """The recordings of one engine. Everything here is on the loop's thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._loop = engine.ended.get_loop()
        self._running: dict[str, LiveRecording] = {}
        self._begun = False
        engine.watch_every(LOOK_NS, self.watch)
        engine.unplaced.append(self._receive)

    def watch(self, now_ns: int) -> None:
        """Once a second: take up what was recording when the engine ended, measure what runs."""
        if not self._begun:
            self._begun = True
            self._engine.state.do(self._go_on)
        for recording in self._running.values():
            self._measure(recording, now_ns)

    def _receive(self, events: tuple[Event, ...], now_ns: int) -> None:
        """Give every recording what comes from no venue."""
        for recording in self._running.values():
            recording.market(events, now_ns)

    @command(StartRecording)
    def start(self, command: StartRecording, who: str) -> Pending:
        """Begin a recording; answered when it stands in the state. Raises BadInput."""
        engine = self._engine
        checked(command.name, command.instruments, known(engine, command.instruments))
        if len(self._running) >= AT_ONCE_MAX:
            raise BadInput(f"{AT_ONCE_MAX} recordings run already: stop one of them first")
        now_ns = engine.clock.now_ns()
        seen = RecordingSeen(
            name=command.name,
            instruments=command.instruments,
            who=who,
            started_ns=now_ns,
            events=0,
            gaps=0,
            first_ns=None,
            last_ns=None,
        )
        folder = engine.config.recordings_folder / command.name

        def do(connection: Connection) -> str:
            if folder.exists():
                raise BadInput(f"{folder} exists already; choose another name")
            begin_recording(
                connection,
                engine_id=engine.engine_id,
                name=seen.name,
                instruments=seen.instruments,
                who=who,
                now_ns=now_ns,
            )
            self._loop.call_soon_threadsafe(self._record, seen, False)
            return f"recording {seen.name} has started"

        return where_files_are_written(engine, do)

    @command(StopRecording)
    def stop(self, command: StopRecording, who: str) -> Pending:
        """End a recording; answered when everything received is in a file."""
        recording = self._running.get(command.name)
        if recording is None:
            running = ", ".join(sorted(self._running)) or "none"
            raise BadInput(f"{command.name!r} is not recording; these are: {running}")
        pending = Pending()
        recording.on_ended = lambda text: pending.give(Done(text))
        recording.stop(RecordingState.STOPPED, f"stopped by {who}")
        return pending

    def _go_on(self, connection: Connection) -> None:
        for seen in unended(connection, self._engine.engine_id):
            self._loop.call_soon_threadsafe(self._record, seen, True)

    def _record(self, seen: RecordingSeen, resumed: bool) -> None:
        if seen.name in self._running:
            return  # begun by a command before the first look at what is to be taken up
        engine = self._engine
        folder = engine.config.recordings_folder / seen.name

        def ended(state: RecordingState, reason: str) -> None:
            self._over(seen.name, state, reason)

        recording = LiveRecording(seen, folder, engine.clock, resumed=resumed, ended=ended)
        self._running[seen.name] = recording
        try:
            source = market_of(engine, seen.instruments).source(engine, seen.instruments)
        except BadInput as error:  # its venue was here when it was begun
            ended(RecordingState.FAILED, str(error))
            return
        engine.spawn(lambda: recording.run(source))

    def _measure(self, recording: LiveRecording, now_ns: int) -> None:
        """Write what a recording holds, and end it where a limit is reached."""
        engine, name = self._engine, recording.seen.name

        def write(connection: Connection) -> None:
            try:
                if not recording.folder.is_dir():
                    return
                figures = recording.figures()
                limit = recording.limit(figures)
            except OSError as error:
                # This thread writes the whole state: a folder must not end it.
                engine.log.warning("recording.unmeasured", name=name, reason=str(error))
                return
            note_figures(connection, engine.engine_id, name, figures, now_ns)
            if limit:
                self._loop.call_soon_threadsafe(recording.stop, RecordingState.STOPPED, limit)

        engine.state.put(f"recording:{name}", write)

    def _over(self, name: str, state: RecordingState, reason: str) -> None:
        engine, now_ns = self._engine, self._engine.clock.now_ns()
        recording = self._running.pop(name)
        if state is RecordingState.FAILED:
            text = f"recording {name}: {reason}"
            engine.alert(caution("recording", text), now_ns)

        def write(connection: Connection) -> None:
            try:
                figures = recording.figures()
            except OSError:
                figures = recording.figures(size=0)
            with transaction(connection):
                note_figures(connection, engine.engine_id, name, figures, now_ns)
                end_recording(
                    connection, engine.engine_id, name, state=state, reason=reason, now_ns=now_ns
                )
            size = f"{figures.events:,} events, {figures.bytes / 1e6:.1f} MB"
            self._loop.call_soon_threadsafe(
                recording.on_ended, f"recording {name} has ended, {reason}: {size}"
            )

        engine.state.do(write)
