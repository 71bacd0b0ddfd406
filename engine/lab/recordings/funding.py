"""Funding in backtests: imported rates of a perpetual beside its bars, trades or quotes.

A data set of rates says when and how much, and no mark, so a stated law makes it: over bars the
open of the bar in which the stamp lies, behind a gap's first moment the last close; over trades and
quotes the last price before the stamp. Rates of before the first price are left out: a desk that
has seen no price holds nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.domain.events import BookReplaced, Event, TradePrinted
from engine.domain.instruments import Instrument, Kind
from engine.domain.perpetual_events import FundingSettled
from engine.domain.products.funding import RateType, typed_rates
from engine.domain.products.margin import PRICE_DECIMALS
from engine.errors import BadInput
from engine.lab.recordings.bar_files import BarRecording, Piece, kind_of
from engine.lab.recordings.door import MadeRecording
from engine.lab.recordings.made_bars import Stretch
from storage.datasets import DataKind, Dataset, columns, read, verify

UNFUNDED = "funding: not in this data; import its rates as a data set of their own"


def lacks_funding(found: Dataset) -> list[str]:
    """Return a sentence for what can be played of a perpetual without rates; empty = not such."""
    signed = kind_of(found.instrument) is Kind.PERPETUAL
    return [UNFUNDED] if signed and found.kind is not DataKind.FUNDING else []


@dataclass(frozen=True)
class FundingRates:
    """The rates of one data set, in order of time."""

    name: str
    instrument: str
    rows: tuple[tuple[int, int, RateType], ...]
    """(stamp in ns, rate in 1e-18, type)"""


def read_rates(path: Path) -> FundingRates:
    """Read a data set of rates. Raises BadInput where it holds something else or is damaged."""
    found = read(path)
    if found.kind is not DataKind.FUNDING:
        raise BadInput(f"{found.name} holds {found.kind}, and no rates of funding")
    if wrong := verify(path):
        raise BadInput(f"{wrong[0]}; import it again")
    rows = (row for block in columns(path) for row in zip(*block, strict=True))
    try:
        rates = tuple(typed_rates((int(at_ns), int(rate)) for at_ns, rate in rows))
    except BadInput as error:
        raise BadInput(f"{found.name}: {error}") from None
    return FundingRates(found.name, found.instrument, rates)


def with_rates(recording: MadeRecording, path: Path) -> FundedRecording:
    """Return a recording with the rates of a data set among its events.

    Raises BadInput where they are another instrument's, or the recording is of no perpetual.
    """
    instrument = recording.instrument
    if not instrument.product.signed:
        raise BadInput(
            f"{instrument.id} is no perpetual, so nothing of it is funded: name it as "
            "venue:BASE/QUOTE:SETTLE"
        )
    rates = read_rates(path)
    if rates.instrument != instrument.id:
        raise BadInput(
            f"{rates.name} holds the rates of {rates.instrument}, and what is played is "
            f"{instrument.id}"
        )
    if isinstance(recording, BarRecording):
        return FundedBars(recording, rates)
    return FundedRecording(recording, rates)


class FundedRecording:
    """Trades or quotes of a perpetual, and its funding. Implements `MadeRecording`."""

    priced = "the last price before the stamp"

    def __init__(self, recording: MadeRecording, rates: FundingRates) -> None:
        self.recording = recording
        self.stats = recording.stats
        self.instrument: Instrument = recording.instrument
        self.currency, self.data_age_ms = recording.currency, recording.data_age_ms
        self.tick_ns = recording.tick_ns
        self._rates = rates
        self._due = deque(rates.rows)
        self._to_e8 = 10 ** (PRICE_DECIMALS - self.instrument.price_decimals)

    def held(self, start_ns: int | None, until_ns: int | None) -> list[float]:
        """Return what one was worth, without funding: see `MadeRecording.held`."""
        return self.recording.held(start_ns, until_ns)

    def events(self) -> Iterator[tuple[int, Event]]:
        """Yield (now_ns, event). See `Recording`."""
        price2, traded = 0, False
        for now_ns, event in self.recording.events():
            while self._due and self._due[0][0] < now_ns:
                yield from self._settled(price2 * self._to_e8 // 2)
            if isinstance(event, TradePrinted):
                price2, traded = 2 * event.price, True
            elif isinstance(event, BookReplaced) and event.bids and event.asks and not traded:
                price2 = event.bids[0][0] + event.asks[0][0]
            yield now_ns, event

    def _settled(self, mark_e8: int) -> Iterator[tuple[int, Event]]:
        """Yield the rate that is due next; none where no price is known."""
        at_ns, rate, rate_type = self._due.popleft()
        if mark_e8:
            settled = FundingSettled(
                instrument=self.instrument.id,
                stamp_ns=at_ns,
                rate_e18=rate,
                mark_e8=mark_e8,
                rate_type=rate_type,
                source=f"{self._rates.name}; mark: {self.priced}",
            )
            yield at_ns, settled


class FundedBars(FundedRecording):
    """Bars of a perpetual, and its funding. Implements `MadeRecording` and `InPieces`."""

    priced = "the open of its bar"

    def __init__(self, recording: BarRecording, rates: FundingRates) -> None:
        super().__init__(recording, rates)
        self._bars = recording

    def events(self) -> Iterator[tuple[int, Event]]:
        """Yield (now_ns, event). See `Recording`."""
        for piece in self.pieces():
            if isinstance(piece, Stretch):
                yield from piece.events()
            else:
                yield piece

    def pieces(self) -> Iterator[Piece]:
        """Yield the same, bars in one piece in which no stamp lies."""
        due, close = self._due, 0
        for piece in self._bars.pieces():
            starts_ns = piece.start_ns if isinstance(piece, Stretch) else piece[0]
            while due and due[0][0] < starts_ns:
                yield from self._settled(close * self._to_e8)
            if isinstance(piece, Stretch):
                yield from self._among(piece)
                close = piece.closes(len(piece) - 1, 1)[0]
            else:
                yield piece

    def _among(self, stretch: Stretch) -> Iterator[Piece]:
        """Yield bars that follow one another, and the stamps that lie among them."""
        due, done = self._due, 0
        while due and due[0][0] < stretch.end_ns:
            at = (due[0][0] - stretch.start_ns) // stretch.step_ns
            if at > done:
                yield stretch.cut(done, at)
            made, within = stretch.made(at), list[tuple[int, Event]]()
            while due and due[0][0] < made.bar.end_ns:
                within += self._settled(made.bar.open * self._to_e8)
            done = at
            if within and within[-1][0] > made.bar.start_ns:
                # Of one moment the stamp is first: what is held then is what it counts.
                within = sorted([*within, *made.events()], key=lambda one: one[0])
                done += 1
            yield from within
        if done < len(stretch):
            yield stretch.cut(done, len(stretch))
