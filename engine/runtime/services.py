"""Services: what every account, feed and venue of one engine stands on. On the loop's thread alone.

Clock, journal, tape, the state's writer, alerts, and who else runs: a venue gets this and nothing
more of the engine.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from sqlite3 import Connection
from typing import Any, NotRequired, Protocol, TypedDict, Unpack, runtime_checkable

from engine import log
from engine.clock import TapeClock, WallClock
from engine.config import Config
from engine.domain.commands import Command
from engine.domain.effects import RaiseAlert, alarm
from engine.domain.events import Event, InstrumentClosed, InstrumentListed, InstrumentResolved
from engine.domain.inputs import KIND, AnyInput, pack_input
from engine.domain.instruments import AccountId, Instrument, InstrumentId, Mode
from engine.domain.orders import Identity, OrderReport
from engine.domain.telemetry import Approvals, FeedStatus
from engine.errors import StorageError
from engine.gateway.door import Named, Venue
from engine.runtime.account_runner import AccountRunner, Meter, Turns
from engine.runtime.aids import Notes
from engine.runtime.bot_runner import BotRunner
from engine.runtime.decisions import DecisionKeeper
from engine.runtime.journal import EngineJournal
from engine.runtime.recovery import ENGINE_WIDE
from engine.runtime.state_writer import StateWriter
from engine.runtime.tape import Entries
from engine.runtime.ticks import TickKeeper
from storage.alerts import raise_alert
from storage.feeds import put_title
from storage.live import instruments_known, put_account_report, put_instrument, put_payout
from storage.live_accounts import VenueHeartbeat, put_heartbeat
from storage.markouts import resolve
from storage.settings import SettingsVersion

__all__ = [
    "HEARTBEAT",
    "USER_FEED",
    "CancelsForeign",
    "ClosingVenue",
    "Services",
    "Stream",
    "VenueHeartbeat",
]

USER_FEED = "user_feed"
HEARTBEAT = "heartbeat"
"""Health sources of an account: what its venue says of its orders, and its dead man's switch."""

UNJOURNALED_MAX = 10_000
"""Most events that wait for a journal that is full; with one more the engine ends."""

FORGET_AFTER_NS = 600 * 1_000_000_000
"""How long a closed instrument stays in the caches: late settlements arrive within seconds."""

Stream = Callable[[], Coroutine[Any, Any, None]]
"""Makes what lasts as long as the engine."""


class ClosingVenue(Venue, Protocol):
    """A venue with connections of its own."""

    async def close(self) -> None: ...


@runtime_checkable
class LearnsNames(Protocol):
    """A venue that tells an order or a fill apart only by what it was taught before."""

    def remember(self, orders: Sequence[Named]) -> None:
        """Know orders by their names."""
        ...

    def know(self, instrument: Instrument) -> None:
        """Know whose tokens are whose."""
        ...

    async def unnamed_orders(self, since_ns: int) -> Sequence[OrderReport]:
        """Return orders of ours that fills since a time tell of, and that it was never taught.

        Raises where one of them cannot be read.
        """
        ...


@runtime_checkable
class CancelsForeign(Protocol):
    """A venue that cancels an order of the wallet which another key has placed."""

    async def cancel_foreign(self, order: Identity) -> str:
        """Ask once; return why it was refused in the venue's words, empty = it is cancelled."""
        ...


class EngineWiring(TypedDict):
    """What an engine is made of beside its configuration."""

    engine_id: str
    clock: WallClock | TapeClock
    wall: NotRequired[WallClock]
    """What people and pages go by; missing = `clock`."""
    recorder: EngineJournal
    taper: Entries
    decisions: DecisionKeeper
    settings: SettingsVersion
    followed: NotRequired[Mapping[AccountId, dict[InstrumentId, None]]]
    """Markets a person looks at; missing = none."""
    ticks: NotRequired[TickKeeper | None]
    """Missing = they are not kept: what is played is no market of today."""
    forget_after_ns: NotRequired[int]
    """How long a closed instrument stays in the caches."""


class Services:
    """What all accounts share. `ended` is set where the engine must end, with the error if any."""

    state: StateWriter
    ended: asyncio.Future[BaseException | None]
    _tape_refused = False
    _forget_after_ns = FORGET_AFTER_NS

    def __init__(self, config: Config, **wiring: Unpack[EngineWiring]) -> None:
        self.config = config
        self.engine_id = wiring["engine_id"]
        self.clock = clock = wiring["clock"]
        wall = wiring.get("wall", clock)
        self.wall_ns, self.said_ns = wall.now_ns, wall.said_ns
        """What people go by, and what other programs stamp by; a tape's trades go by `clock`."""
        self.recorder = recorder = wiring["recorder"]
        self.decisions = wiring["decisions"]
        self.settings = wiring["settings"]
        self.ticks = ticks = wiring.get("ticks")
        self.meter = Meter()
        self.turns = Turns()
        self.runners: dict[AccountId, AccountRunner] = {}
        self.venues: dict[AccountId, ClosingVenue] = {}
        self.bot_runners: dict[str, BotRunner] = {}
        self.followed = dict(wiring.get("followed", {}))
        """Markets a person looks at: received by the account as if a bot traded them."""
        self.killed = threading.Event()
        """Set while the KILL latch is taken."""
        self.watchers: list[Callable[[int], None]] = []
        """Who waits for something to become true: called several times a second."""
        if ticks is not None:
            self.watchers.append(ticks.watcher(self.alert))
        aids = (wiring["taper"], wiring["decisions"], *([ticks] if ticks is not None else ()))
        self.unplaced: list[Callable[[tuple[Event, ...], int], None]] = []
        """Recordings: who receives what comes from no venue."""
        self._notes: dict[str, Notes] = {aid.notes.kind: aid.notes for aid in aids}
        self.watchers.append(self._tell_notes)
        self.feeds: dict[str, Callable[[int], FeedStatus]] = {}
        """What each feed tells of itself with the heartbeat."""
        self.started_ns = self.wall_ns()
        self.log = log.get("engine")
        self.ended = asyncio.get_running_loop().create_future()
        self.journaled_seq = recorder.seq
        """The last record that concerns every account."""
        self._taper = wiring["taper"]
        self._forget_after_ns = wiring.get("forget_after_ns", FORGET_AFTER_NS)
        self._unjournaled: deque[tuple[Event | Command, int]] = deque()
        self._closed: deque[tuple[int, InstrumentId]] = deque()

    def tape(self, kind: str, payload: bytes, at_ns: int) -> None:
        """Put what was received on the tape; one that refuses is reported once, trading goes on."""
        try:
            self.recorder.tape = self._taper.append(kind, payload, at_ns)
            self._tape_refused = False
        except StorageError as error:
            if not self._tape_refused:
                self._tape_refused = True
                text = str(error)
                self.alert(alarm("tape", text), at_ns)

    def notes(self, kind: str) -> Notes:
        """Return where what an aid could not keep is noted; `kind` is that of its alerts."""
        return self._notes.setdefault(kind, Notes(kind))

    def _tell_notes(self, now_ns: int) -> None:
        for notes in self._notes.values():
            for alert in notes.take(now_ns):
                self.alert(alert, now_ns)

    def record(self, given: AnyInput, at_ns: int) -> None:
        self.tape(KIND, pack_input(given), at_ns)

    def journal(self, event: Event | Command, at_ns: int) -> None:
        """Journal what concerns every account, and tell the catalog."""
        self._unjournaled.append((event, at_ns))
        self.journal_waiting()
        match event:
            case InstrumentListed(instrument=instrument):
                self.state.write_row(put_instrument, instrument, at_ns)
            case InstrumentResolved(instrument=name, payout_yes_micro=payout):
                self.state.write_row(put_payout, name, payout, at_ns)
                self.state.write_row(resolve, name, payout)
                # Where it was held, its close was too early to forget it.
                self._closed.append((at_ns + self._forget_after_ns, name))
            case InstrumentClosed(instrument=name):
                self._closed.append((at_ns + self._forget_after_ns, name))
            case _:
                pass

    def name(self, instrument: InstrumentId, title: str, slug: str) -> None:
        """Tell how a market is called in words."""
        now_ns = self.clock.now_ns()
        self.state.write_row(put_title, instrument, title=title, slug=slug, now_ns=now_ns)

    async def catalogue(self, listed: Sequence[tuple[Instrument, str, str]]) -> int:
        """Write markets with title and slug for people to choose from; how many are new."""
        engine_id, now_ns, loop = self.engine_id, self.clock.now_ns(), self.ended.get_loop()
        new: asyncio.Future[int] = loop.create_future()

        def write(connection: Connection) -> None:
            before = instruments_known(connection, engine_id)
            for instrument, title, slug in listed:
                put_instrument(connection, engine_id, instrument, now_ns)
                put_title(
                    connection, engine_id, instrument.id, title=title, slug=slug, now_ns=now_ns
                )
            count = sum(one.id not in before for one, _, _ in listed)
            loop.call_soon_threadsafe(new.set_result, count)

        self.state.write(write, awaited=True)
        return await new

    def heartbeat(self, seen: VenueHeartbeat) -> None:
        """Tell how an account's heartbeat at its venue stands; the dashboard counts down by it."""
        now_ns = self.clock.now_ns()
        self.state.put_row(f"venue heartbeat {seen.account}", put_heartbeat, seen, now_ns)

    def approvals(self, report: Approvals) -> None:
        """Tell what an account's wallet has approved at its venue."""
        self.state.put_row(f"approvals {report.account}", put_account_report, report)

    def journal_waiting(self) -> None:
        """Journal what a journal that refused was not given; beyond the maximum the engine ends."""
        try:
            while self._unjournaled:
                self.journaled_seq = self.recorder.append(ENGINE_WIDE, *self._unjournaled[0])
                self._unjournaled.popleft()
        except StorageError as error:
            # The journal's own refusal is reported by every runner, and halts it; these wait.
            if len(self._unjournaled) > UNJOURNALED_MAX:
                self.end(error)

    @property
    def all_journaled(self) -> bool:
        """Say whether the journal has taken everything that concerns every account."""
        return not self._unjournaled

    def alert(self, alert: RaiseAlert, at_ns: int) -> None:
        self.log.warning("alert", kind=alert.kind, text=alert.text, severity=str(alert.severity))
        runner = self.runners.get(alert.account) if alert.account else None
        mode: Mode | None = runner.core.executor.mode if runner else None
        self.state.write_row(raise_alert, alert, mode, at_ns)

    def crash(self, error: BaseException) -> None:
        """End the engine because of an error. May be called from any thread."""
        self.ended.get_loop().call_soon_threadsafe(self.end, error)

    def end(self, error: BaseException | None = None) -> None:
        if not self.ended.done():
            self.ended.set_result(error)

    def closed(self) -> None:
        try:
            self._taper.close()
        except StorageError as error:
            self.log.warning("close", refused=str(error))

    def forget_closed(self, now_ns: int) -> None:
        """Drop markets that are long over."""
        while self._closed and self._closed[0][0] <= now_ns:
            _, instrument = self._closed.popleft()
            for runner in self.runners.values():
                runner.forget(instrument, now_ns)
