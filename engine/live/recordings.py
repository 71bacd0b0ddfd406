"""The recordings of an engine: begun and ended by commands, measured each second, taken up again.

What they hold stands in the state; their frames are under `recordings` in the home.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Any

from engine.clock import Clock
from engine.domain.commands import StartRecording, StopRecording
from engine.domain.effects import RaiseAlert, Severity
from engine.domain.events import Event
from engine.domain.instruments import InstrumentId
from engine.errors import BadInput
from engine.live.engine import Engine
from engine.runtime.meter import Meter
from engine.runtime.recording import AT_ONCE_MAX, LiveRecording, Source, checked
from engine.venues.demo.client import DemoMarket
from engine.venues.demo.plugin import DEMO
from engine.venues.demo.streams import FEED, MarketStream
from engine.venues.polymarket.market.core import PREFIX
from engine.venues.polymarket.market.routes import Subscriber
from engine.venues.polymarket.market.source import VENUE as POLYMARKET
from engine.venues.polymarket.market.source import PolymarketMarketData
from storage.commands import CommandState
from storage.database import transaction
from storage.jobs import (
    RecordingSeen,
    RecordingState,
    begin_recording,
    end_recording,
    note_figures,
    unended,
)

# Where a recording listens: a stream of its own at the demo exchange, else the venue's hearing.
# A public venue is connected to once, for accounts and recordings together: a recording is one
# more that wants markets, and keeps them heard while no bot does.

NAMED = re.compile(re.escape(PREFIX) + "0x[0-9a-f]{64}")
"""A market of Polymarket by its condition: whether there is one, its listing says."""


class Apart:
    """What the stream of a recording needs of an engine: its frames are not the engine's."""

    def __init__(self, clock: Clock) -> None:
        self.meter = Meter()
        self.clock = clock

    def tape(self, kind: str, payload: bytes, at_ns: int) -> None:
        """Leave the engine's tape alone: its own stream fills it."""

    def keep(self, event: Event, at_ns: int) -> None:
        """Leave the engine's journal alone."""


class DemoSource:
    """A stream of the demo exchange for one recording."""

    feed = FEED

    def __init__(self, market: DemoMarket, clock: Clock) -> None:
        self._market = market
        self._clock = clock

    async def tell(self, recording: LiveRecording) -> None:
        """Let a recording hear the exchange until cancelled."""
        heard: Callable[[], list[Any]] = lambda: [recording]  # noqa: E731 it is one word
        await MarketStream(Apart(self._clock), heard, kept=False).run(self._market)


class PolymarketSource:
    """Polymarket's market as the accounts hear it, and every reference price that is heard."""

    feed = POLYMARKET

    def __init__(self, hearing: PolymarketMarketData) -> None:
        self._hearing = hearing

    async def tell(self, recording: LiveRecording) -> None:
        """Let a recording hear the venue until cancelled."""
        wanted = recording.seen.instruments
        named = tuple(InstrumentId(one) for one in wanted if one.startswith(PREFIX))
        series = tuple(one for one in wanted if not one.startswith(PREFIX))
        ear = Subscriber(named, series, recording)
        self._hearing.ears.append(ear)
        try:
            await asyncio.Event().wait()
        finally:
            self._hearing.ears.remove(ear)


def venue_of(instruments: Sequence[str]) -> str:
    """Return which venue a recording listens to; series alone are the demo exchange's.

    Raises BadInput where there are two.
    """
    venues = list(dict.fromkeys(one.partition(":")[0] for one in instruments if ":" in one))
    if len(venues) > 1:
        raise BadInput(
            f"a recording listens to one venue, these are of {' and '.join(venues)}: begin one each"
        )
    return venues[0] if venues else DEMO


def source_of(engine: Engine, instruments: Sequence[str]) -> Source:
    """Return where to listen for these instruments."""
    venues = engine.accounts.venues
    hearing = venues.hearings.get(venue_of(instruments))
    if isinstance(hearing, PolymarketMarketData):
        return PolymarketSource(hearing)
    return DemoSource(venues.market(), engine.clock)


def known(engine: Engine, venue: str, asked: Sequence[str]) -> set[str]:
    """Return which instruments and series can be recorded at a venue. Raises BadInput."""
    views = [
        view.instrument
        for runner in engine.runners.values()
        for view in runner.desk.cache.views.values()
    ]
    here = [one for one in views if one.id.startswith(f"{venue}:")]
    found = {str(one.id) for one in here} | {one.series for one in here if one.series}
    if venue == POLYMARKET:
        accounts = engine.settings.document.accounts.values()
        if not any(one.venue == POLYMARKET for one in accounts):
            raise BadInput(
                "no account is at Polymarket, so nothing is heard there: add a paper account with "
                "venue polymarket under Settings, apply it, then record"
            )
        return found | {one for one in asked if NAMED.fullmatch(one)}
    elsewhere = {one.series for one in views if one.id.startswith(PREFIX)} - found
    for one in asked:
        if one in elsewhere:
            raise BadInput(
                f"{one} is a series of Polymarket: name one of its markets, polymarket:0x…, beside "
                "it, so that it is plain which venue is meant"
            )
    return found


# --------------------------------------------------------------------------------------------------

Reply = Callable[[CommandState, str], None]
Ask = Callable[[Callable[[Any], str], Reply], None]
"""Does something where files are written; its words, or its refusal, are the answer."""


class Recordings:
    """The recordings of one engine. Everything here is on the loop's thread."""

    def __init__(self, engine: Engine, ask: Ask) -> None:
        self._engine = engine
        self._ask = ask
        self._loop = engine.ended.get_loop()
        self._running: dict[str, LiveRecording] = {}
        self._begun = False

    def watch(self, now_ns: int) -> None:
        """Once a second: take up what was recording when the engine ended, measure what runs."""
        if not self._begun:
            self._begun = True
            self._engine.state.do(self._go_on)
        for recording in self._running.values():
            self._measure(recording, now_ns)

    def start(self, command: StartRecording, who: str, reply: Reply) -> None:
        """Begin a recording; answered when it stands in the state. Raises BadInput."""
        engine = self._engine
        venue = venue_of(command.instruments)
        checked(command.name, command.instruments, known(engine, venue, command.instruments))
        if len(self._running) >= AT_ONCE_MAX:
            raise BadInput(f"{AT_ONCE_MAX} recordings run already: stop one of them first")
        now_ns = engine.clock.now_ns()
        seen = RecordingSeen(
            name=command.name, instruments=command.instruments, who=who, started_ns=now_ns,
            events=0, gaps=0, first_ns=None, last_ns=None,
        )  # fmt: skip
        folder = engine.config.recordings_folder / command.name

        def do(connection: Any) -> str:
            if folder.exists():
                raise BadInput(f"{folder} is there already; choose another name")
            begin_recording(
                connection, engine_id=engine.engine_id, name=seen.name,
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
        source = source_of(engine, seen.instruments)
        engine.spawn(lambda: recording.run(source))

    def _measure(self, recording: LiveRecording, now_ns: int) -> None:
        """Write what a recording holds, and end it where a limit is reached."""
        engine, name = self._engine, recording.seen.name

        def write(connection: Any) -> None:
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
        """Write how a recording ended."""
        engine, now_ns = self._engine, self._engine.clock.now_ns()
        recording = self._running.pop(name)
        if state is RecordingState.FAILED:
            text = f"recording {name}: {reason}"
            alert = RaiseAlert(severity=Severity.WARNING, kind="recording", text=text)
            engine.alert(alert, now_ns)

        def write(connection: Any) -> None:
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
                recording.told, f"recording {name} has ended, {reason}: {size}"
            )

        engine.state.do(write)
