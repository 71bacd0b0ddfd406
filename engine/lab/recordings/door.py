"""The door of every recording: a stream of events, and honest counts of what was read."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Protocol, runtime_checkable

from engine.domain.events import Event, InstrumentClosed, InstrumentListed, InstrumentResolved
from engine.domain.instruments import Instrument, InstrumentId
from engine.domain.money import MICRO
from engine.errors import BadInput, os_sentence
from engine.feeds.counts import FeedCounts


@dataclass(slots=True, eq=False)
class RecordingStats(FeedCounts):
    """What has been read so far. Grows while `Recording.events` is consumed.

    `frames` counts whole lines, good or bad. `first_ns`, `last_ns` are the clock of the first and
    the last event; None = nothing yet. `bytes_read` of `bytes_total` are the files' own (packed)
    bytes and serve to show progress. `at` is the line being read, as (file, number).
    """

    frames: int = 0
    events: int = 0
    markets: set[InstrumentId] = field(default_factory=set)
    sizes_inferred: int = 0
    """Trades whose size is the fall of a level: what was cancelled with it is in it."""
    sizes_capped: int = 0
    """Those of them that a cap made as large as itself."""
    sizes_unknown: int = 0
    """Trades whose level did not fall."""
    gap_ns: int = 0
    """Length of the gaps together."""
    anomaly_lines: dict[str, str] = field(default_factory=dict)
    """Where each kind of anomaly was met first: `file:line`."""
    first_ns: int | None = None
    last_ns: int | None = None
    bytes_read: int = 0
    bytes_total: int = 0
    imported_ns: int | None = None
    """When the import was made that is read; None = the raw files are read."""
    at: tuple[str, int] = ("", 0)

    def anomaly(self, kind: str) -> None:
        """Count something odd and remember where it was met first."""
        FeedCounts.anomaly(self, kind)
        if kind in self.anomalies:
            self.anomaly_lines.setdefault(kind, f"{self.at[0]}:{self.at[1]}")


class Recording(Protocol):
    """A recording that can be played once."""

    stats: RecordingStats

    def events(self) -> Iterator[tuple[int, Event]]:
        """Yield (now_ns, event) with a clock that never runs backwards; streams, never hoards.

        Raises BadInput with the file and line where the recording is torn, after everything
        whole before it has been yielded.
        """
        ...


@runtime_checkable
class MadeRecording(Recording, Protocol):
    """A recording whose book is made by laws around what was imported."""

    instrument: Instrument
    currency: str
    data_age_ms: int
    """How old its book may be for a decision."""
    tick_ns: int
    """How often an account looks at the clock."""

    def held(self, start_ns: int | None, until_ns: int | None) -> list[float]:
        """Return what one was worth between two times, the price at which it is bought first."""
        ...


# -- A file of outcomes beside a recording that tells none: labelled as such, and never inferred ---

PAYOUTS = {Decimal(0): 0, Decimal(1): MICRO, Decimal("0.5"): MICRO // 2}
SECOND_NS = 1_000_000_000
ROUNDED = re.compile(r"[0-9]+([.,][0-9]+)?[eE][+]?[0-9]+")
"""How spreadsheets write a token id of 77 digits."""
NAMED_MAX = 5
"""Most markets of an outcomes file that are named where the recording has none of them."""


def read_outcomes(path: Path) -> dict[str, int]:
    """Return market → what one YES paid, in micro-units. Raises BadInput naming the line.

    CSV with a header and the columns `market` and `paid`: the market's instrument, its venue's own
    id or its slug, and what one YES (Up) paid: 1, 0 or 0.5. Other columns are left alone.
    """
    found: dict[str, int] = {}
    try:
        # Spreadsheets save "CSV UTF-8" with a byte order mark.
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if not {"market", "paid"} <= set(rows.fieldnames or ()):
                raise BadInput(f"{path.name}: an outcomes file has the columns market and paid")
            for row in rows:
                market, paid = (row["market"] or "").strip(), (row["paid"] or "").strip()
                payout = _payout(paid)
                if ROUNDED.fullmatch(market):
                    raise BadInput(
                        f"{path.name}, line {rows.line_num}: {market!r} is an id that a "
                        "spreadsheet rounded to a number, no market has it: save the column as text"
                    )
                if not market or payout is None or found.get(market, payout) != payout:
                    raise BadInput(
                        f"{path.name}, line {rows.line_num}: {market!r} paid {paid!r} is no "
                        "outcome, or another one than before: write 1, 0 or 0.5"
                    )
                found[market] = payout
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = os_sentence(error) if isinstance(error, OSError) else str(error)
        raise BadInput(f"{path.name} cannot be read: {reason}") from None
    return found


def _payout(text: str) -> int | None:
    try:
        return PAYOUTS.get(Decimal(text))
    except InvalidOperation:
        return None


class OutcomeRecording:
    """A recording whose markets are resolved by a file as they close. Implements `Recording`.

    What the recording itself says of a market stands: the file is not asked about that one.
    """

    def __init__(self, recording: Recording, path: Path) -> None:
        self._recording = recording
        self.stats: RecordingStats = recording.stats
        self._outcomes = read_outcomes(path)
        self._source = f"outcomes file {path.name}"
        self.labelled = 0
        """Markets the file resolved so far."""
        self._unmatched = dict.fromkeys(self._outcomes)

    def events(self) -> Iterator[tuple[int, Event]]:
        """Yield what the recording tells, each close followed by the file's outcome, if any."""
        keys: dict[InstrumentId, tuple[str, ...]] = {}
        for now_ns, event in self._recording.events():
            yield now_ns, event
            if isinstance(event, InstrumentListed):
                keys[event.instrument.id] = names = _keys(event.instrument)
                for name in names:
                    self._unmatched.pop(name, None)
            elif isinstance(event, InstrumentResolved):
                keys.pop(event.instrument, None)
            elif isinstance(event, InstrumentClosed):
                names = keys.pop(event.instrument, ())
                paid = next((self._outcomes[key] for key in names if key in self._outcomes), None)
                if paid is not None:
                    self.labelled += 1
                    yield (
                        now_ns,
                        InstrumentResolved(
                            instrument=event.instrument, payout_yes_micro=paid, source=self._source
                        ),
                    )
        self._name_unmatched()

    def _name_unmatched(self) -> None:
        """Count the lines that name no market of the recording, and say which."""
        names = list(self._unmatched)
        if names:
            more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
            named = ", ".join(name[:80] for name in names[:NAMED_MAX])
            self.stats.anomalies[f"{self._source}: no market is named {named}{more}"] = len(names)


class RecordingUntil:
    """A recording that ends at a time. Implements `Recording`."""

    def __init__(self, recording: Recording, until_ns: int) -> None:
        self.recording = recording
        self.stats: RecordingStats = recording.stats
        self.until_ns = until_ns

    def events(self) -> Iterator[tuple[int, Event]]:
        """Yield what comes before the time, in order."""
        for now_ns, event in self.recording.events():
            if now_ns >= self.until_ns:
                return
            yield now_ns, event


def _keys(instrument: Instrument) -> tuple[str, ...]:
    names = (instrument.id, instrument.id.partition(":")[2])
    if instrument.series and instrument.starts_ns is not None:
        return (*names, f"{instrument.series}-{instrument.starts_ns // SECOND_NS}")
    return names
