"""The past of one home: what tape and journal hold of each life, and whether it comes again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import Protocol

import msgspec

from engine.domain.decisions import Decision, Planned
from engine.domain.effects import Effect, KeepStart, PlaceOrder, RaiseAlert
from engine.domain.inputs import FORMAT, KIND, AnyInput, BotFailed, EngineStarted, unpack_input
from engine.domain.instruments import AccountId, BotId, InstrumentId
from engine.errors import BadInput
from engine.executor.executor import Executor
from engine.lab.incident.moment import IncidentWindow
from engine.log import iso
from engine.runtime import tape
from engine.runtime.decisions import COUNTS_EVERY_S, LINGER_S
from engine.runtime.recovery import rebuild
from engine.runtime.tape_format import TapeEntry, entries_of
from storage.decisions import StoredDecision
from storage.journal import Record, Snapshots, decode, load
from storage.journal_writer import NAMES, JournalSnapshot
from storage.tape_blocks import Torn, blocks, segments

NEVER_NS = 1 << 62


class RecordedRun(msgspec.Struct, frozen=True, kw_only=True):
    """One start of the engine, as the tape holds it."""

    position: int
    at_ns: int
    began: EngineStarted


class TapeInput(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One input of a desk and where it stands on the tape."""

    position: int
    at_ns: int
    given: AnyInput | None
    """None = a frame behind a hole."""
    before: int
    """Position of the entry before it, whatever its kind: what lies between is missing."""

    @property
    def whole(self) -> bool:
        """Say whether nothing is missing between this and the entry before it."""
        return self.position == self.before + 1


class JournaledRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One record of the journal; `led` False = the tape lacks what led to it."""

    record: Record
    led: bool


class StepListener(Protocol):
    """Sees every step after it was taken."""

    def on_input(self, one: TapeInput, made: list[Decision | Planned]) -> None:
        """See an input, and what was decided because of it."""
        ...

    def on_record(self, record: Record, message: object) -> None:
        """See a record of the journal: a report, an effect, a command."""
        ...


def recorded_runs(folder: Path) -> list[tuple[RecordedRun, int]]:
    """Return the lives whose beginning is on the tape, each with when the next began, in order.

    A life begins a segment, because every process does.
    """
    found: list[RecordedRun] = []
    for path in segments(folder):
        first = _first(path)
        given = None if first is None or first.kind != KIND else read_input(first)
        if first is not None and isinstance(given, EngineStarted):
            found.append(RecordedRun(position=first.position, at_ns=first.at_ns, began=given))
    ends = [run.at_ns for run in found[1:]] + [NEVER_NS] * bool(found)
    return list(zip(found, ends, strict=True))


def reaching(
    known: list[tuple[RecordedRun, int]], period: IncidentWindow
) -> list[tuple[RecordedRun, int]]:
    """Return the lives that reach into the window; none where its moment lies before them."""
    found = [
        (run, end_ns)
        for run, end_ns in known
        if run.at_ns <= period.end_ns and end_ns > period.begin_ns
    ]
    return found if found and found[0][0].at_ns <= period.at_ns else []


def _first(path: Path) -> TapeEntry | None:
    try:
        with path.open("rb") as file:
            for block in blocks(file, path):
                return next(entries_of(block))
    except (Torn, BadInput, FileNotFoundError):
        return None
    return None


def position_at(folder: Path, at_ns: int, warn: Callable[[str], None]) -> int | None:
    """Return the first position at or after a time, None where the tape has none."""
    first = next(tape.read(folder, warn=warn, from_ns=at_ns), None)
    return None if first is None else first.position


def read_input(entry: TapeEntry) -> AnyInput:
    """Return what an entry of the tape says. Raises BadInput naming it."""
    try:
        given: AnyInput = unpack_input(entry.payload)
    except (msgspec.DecodeError, BadInput) as error:
        raise BadInput(
            f"entry {entry.position} of the tape cannot be read: {error}; it was written by "
            "another version, start that one"
        ) from None
    if isinstance(given, EngineStarted) and given.format != FORMAT:
        raise BadInput(
            f"entry {entry.position} of the tape has format {given.format}, this program reads "
            f"{FORMAT}; start the version that wrote it"
        )
    return given


class Past:
    """Tape from a position and journal behind a record, in one order, once."""

    def __init__(
        self,
        folder: Path,
        journal: Path,
        *,
        position: int,
        after_seq: int,
        warn: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._journal = journal
        self._position = position
        self._after_seq = after_seq
        self._warn = warn
        self._reach = position - 1

    def __iter__(self) -> Iterator[TapeInput | JournaledRecord]:
        """Give inputs and records in the order in which they happened.

        A record carries the position of the last entry before it. Raises BadInput at damage,
        JournalCorrupt.
        """
        records = load(self._journal, after_seq=self._after_seq)
        record = next(records, None)
        for one in self._inputs():
            while record is not None and record.tape < one.position:
                yield JournaledRecord(record=record, led=record.tape <= one.before)
                record = next(records, None)
            yield one
        while record is not None:
            yield JournaledRecord(record=record, led=record.tape <= self._reach)
            record = next(records, None)

    def _inputs(self) -> Iterator[TapeInput]:
        for entry in tape.read(self._folder, warn=self._warn, from_position=self._position):
            before, self._reach = self._reach, entry.position
            if entry.kind == KIND or entry.position != before + 1:
                yield TapeInput(
                    position=entry.position,
                    at_ns=entry.at_ns,
                    given=read_input(entry) if entry.kind == KIND else None,
                    before=before,
                )


def with_failures(
    past: Iterable[TapeInput | JournaledRecord],
) -> Iterator[tuple[TapeInput | JournaledRecord, tuple[BotFailed, ...]]]:
    """Give each input and record with what was ended from outside while it was being received."""
    before: TapeInput | JournaledRecord | None = None
    failed: tuple[BotFailed, ...] = ()
    for one in past:
        inside = one.given if isinstance(one, TapeInput) and one.whole else None
        if before is not None and isinstance(inside, BotFailed) and inside.within:
            failed = (*failed, inside)
            continue
        if before is not None:
            yield before, failed
        before, failed = one, ()
    if before is not None:
        yield before, failed


def recovered(
    journal: Path, start: EngineStarted, executors: dict[AccountId, Executor], until_seq: int
) -> None:
    snapshots = Snapshots(
        by_name={
            name: JournalSnapshot(name=name, seq=one.seq, at_ns=one.at_ns, body=one.body)
            for name, one in start.snapshots.items()
        },
        problems=(),
    )

    def tail(after_seq: int) -> Iterable[Record]:
        return takewhile(lambda record: record.seq <= until_seq, load(journal, after_seq=after_seq))

    rebuild(snapshots, tail, executors)


# -- What was decided again against what was kept, byte for byte, in order. The first difference ---
# counts; what comes after it would only repeat it.

LATE_NS = 2_000_000_000
"""How much of a decision log's end a crash may take."""

COUNTED_NS = int((COUNTS_EVERY_S + LINGER_S) * 1e9)
"""How long before a log's end a row that still counted may have been written last."""

_encode = msgspec.msgpack.Encoder().encode


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """The first message that differs."""

    what: str
    """`record 17`, `decision 4294967301`, `plan`."""
    at_ns: int
    kept: str
    """What journal or log has, as JSON; empty = nothing."""
    again: str
    """What was decided again, as JSON; empty = nothing."""

    def sentence(self) -> str:
        kept = f"stored is {self.kept}" if self.kept else "nothing is stored"
        again = f"replayed is {self.again}" if self.again else "nothing is replayed"
        return f"{self.what} at {iso(self.at_ns)} differs: {kept}; {again}"


class Differs(Exception):
    """Ends the living again at the first difference."""

    def __init__(self, difference: Difference) -> None:
        super().__init__(difference.sentence())
        self.difference = difference


def _json(message: object) -> str:
    if isinstance(message, msgspec.Struct):
        message = {"kind": type(message).__name__, **msgspec.to_builtins(message)}
    return msgspec.json.encode(message).decode()


def raise_difference(what: str, at_ns: int, stored: object, replayed: object) -> None:
    """Raise Differs for two messages; None = there is none."""
    raise Differs(
        Difference(
            what=what,
            at_ns=at_ns,
            kept="" if stored is None else _json(stored),
            again="" if replayed is None else _json(replayed),
        )
    )


class Effects:
    """Effects of all desks against the journal's records. Call `decided` first, then `match`.

    `end_ns` is the time of the journal's last record: a living engine's tape may be ahead of it.
    """

    def __init__(self, end_ns: int) -> None:
        self._end_ns = end_ns
        self.ahead = False
        """The journal ended before the tape: nothing more can be compared."""
        self._waiting: dict[AccountId, deque[tuple[Effect, int]]] = {}
        self.compared = 0

    def decided(self, account: AccountId, effects: list[Effect], now_ns: int) -> None:
        """Take what a desk asked for; the journal's next records must be these."""
        waiting = self._waiting.setdefault(account, deque())
        waiting.extend((effect, now_ns) for effect in effects)

    def match(self, record: Record) -> Effect:
        """Take a record of an effect; give the effect. Raises Differs."""
        waiting = self._waiting.get(AccountId(record.account))
        if record.kind != KeepStart.__name__:
            _pass_unjournaled(waiting)
        what = f"record {record.seq} of {record.account}"
        if not waiting:
            raise_difference(what, record.at_ns, decode(record), None)
        effect, now_ns = waiting.popleft()  # type: ignore[union-attr]
        if isinstance(effect, PlaceOrder) and record.kind == PlaceOrder.__name__:
            # Named by who speaks to the venue, and not decided.
            effect = PlaceOrder(order=effect.order, identity=decode(record).identity)
        body = _encode(effect)
        if isinstance(effect, RaiseAlert) and record.kind == RaiseAlert.__name__:
            kept = decode(record)
            effect = _as_kept(_where_chance_ended_it(effect, kept), kept)
            body = record.body if effect == kept else _encode(effect)
        same = (NAMES[type(effect)], now_ns, body)
        if same != (record.kind, record.at_ns, record.body):
            raise_difference(what, record.at_ns, decode(record), effect)
        self.compared += 1
        return effect

    def nothing_waits(self, account: AccountId) -> None:
        """Raise Differs where something decided again is not in the journal."""
        waiting = self._waiting.get(account)
        _pass_unjournaled(waiting)
        if not waiting:
            return
        effect, at_ns = waiting[0]
        if at_ns < self._end_ns:
            raise_difference(f"an effect of {account}", at_ns, None, effect)
        self.ahead = True


def _where_chance_ended_it(again: RaiseAlert, kept: RaiseAlert) -> RaiseAlert:
    """Return the alert of then where a call took too long both times: its line is chance.

    Tapes of before do not have the words of the error.
    """
    both = (one.text for one in (again, kept))
    if again.kind == "bot_error" and all("TurnOverdue in " in text for text in both):
        return msgspec.structs.replace(again, text=kept.text)
    return again


def _as_kept(again: RaiseAlert, kept: RaiseAlert) -> RaiseAlert:
    """Return an alert without what an older version did not say: figures, bot, market."""
    unsaid = {
        name: getattr(kept, name)
        for name in ("numbers", "bot", "instrument")
        if not getattr(kept, name)
    }
    return msgspec.structs.replace(again, **unsaid)


def _pass_unjournaled(waiting: deque[tuple[Effect, int]] | None) -> None:
    """Pass over a start that an older version did not journal."""
    while waiting and type(waiting[0][0]) is KeepStart:
        waiting.popleft()


class _VerdictRun:
    """Alike decisions in a row, and the row of the log they must be."""

    __slots__ = ("count", "first", "last_ns", "last_number", "stored")

    def __init__(self, first: Decision, stored: StoredDecision | None) -> None:
        self.first = first
        self.stored = stored
        self.count = 1
        self.last_ns = first.at_ns
        self.last_number = first.number


class Decisions:
    """Decisions made again against the log's rows, which hold alike ones in a row once.

    `stored` are the rows of this life in the order they were begun, `end_ns` up to when the log
    tells: a crash or a living engine may lack what came just before it.
    """

    def __init__(self, stored: Iterator[StoredDecision], end_ns: int) -> None:
        self._stored = stored
        self._end_ns = end_ns
        self._runs: dict[tuple[BotId, InstrumentId], _VerdictRun] = {}
        self._next: StoredDecision | None = None
        self._aligned = False
        self.evaluations = 0
        self.compared = 0
        """Rows whose bytes were compared."""
        self.rotated = 0
        """Rows decided again whose row the log does not keep any more."""
        self.late = 0
        """Rows decided again that the log's end lacks."""

    def take(self, decision: Decision) -> None:
        """Take a decision made again. Raises Differs."""
        self.evaluations += 1
        key = (decision.bot, decision.instrument)
        run = self._runs.get(key)
        if run is not None and decision.alike(run.first):
            run.count += 1
            run.last_ns, run.last_number = decision.at_ns, decision.number
            return
        if run is not None:
            self._closed(run)
        self._runs[key] = _VerdictRun(decision, self._begun(decision))

    def _begun(self, decision: Decision) -> StoredDecision | None:
        stored = self._next or next(self._stored, None)
        self._next = None
        if stored is None:
            if decision.at_ns < self._end_ns - LATE_NS:
                raise_difference(_named(decision), decision.at_ns, None, decision)
            self.late += 1
            return None
        if not self._aligned:
            first = stored.decision
            if (first.bot, first.instrument, first.number) != (
                decision.bot,
                decision.instrument,
                decision.number,
            ) and first.at_ns > decision.at_ns:
                self._next = stored
                self.rotated += 1
                return None
            self._aligned = True
        if _encode(decision) != stored.body:
            raise_difference(_named(decision), decision.at_ns, stored.decision, decision)
        self.compared += 1
        return stored

    def _closed(self, run: _VerdictRun) -> None:
        """Compare how often a decision was repeated, when another one follows it."""
        stored = run.stored
        if stored is None:
            return
        same = (run.count, run.last_number, run.last_ns)
        logged = (stored.count, stored.last_number, stored.last_ns)
        if same != logged and run.last_ns < self._end_ns - COUNTED_NS:
            names = ("count", "last_number", "last_ns")
            raise_difference(
                _named(run.first),
                run.last_ns,
                dict(zip(names, logged, strict=True)),
                dict(zip(names, same, strict=True)),
            )

    def end(self, at_ns: int) -> None:
        """Compare what still counts where this life was lived again up to `at_ns`, its end or not.

        A row may have gone on afterwards; it must not have ended before.
        """
        for run in self._runs.values():
            stored = run.stored
            if stored is None or run.last_ns >= self._end_ns - COUNTED_NS:
                continue
            if stored.count < run.count or (stored.last_ns < at_ns and stored.count != run.count):
                raise_difference(
                    _named(run.first), run.last_ns, {"count": stored.count}, {"count": run.count}
                )


def _named(decision: Decision) -> str:
    return f"decision {decision.number} of {decision.bot} about {decision.instrument}"


class Plans:
    """Plans made again against the log's, one after the other."""

    def __init__(self, stored: Iterator[bytes], end_ns: int) -> None:
        self._stored = stored
        self._end_ns = end_ns
        self.compared = 0
        self.late = 0
        self.rotated = 0
        self._next: bytes | None = None
        self._aligned = False

    def take(self, plan: Planned) -> None:
        """Take a plan made again. Raises Differs."""
        stored = self._next or next(self._stored, None)
        self._next = None
        if stored is None:
            if plan.at_ns < self._end_ns - LATE_NS:
                raise_difference(f"a plan for {plan.instrument}", plan.at_ns, None, plan)
            self.late += 1
            return
        if not self._aligned and _plan(stored).at_ns > plan.at_ns:
            self._next = stored
            self.rotated += 1
            return
        self._aligned = True
        if _encode(plan) != stored:
            raise_difference(f"the plan for {plan.instrument}", plan.at_ns, _plan(stored), plan)
        self.compared += 1


_decode_plan = msgspec.msgpack.Decoder(Planned).decode


def _plan(body: bytes) -> Planned:
    try:
        return _decode_plan(body)
    except msgspec.DecodeError as error:
        raise BadInput(f"a plan of the decision log cannot be read: {error}") from error
