"""What the markets of a run did while it traded: candles beside its journal, to watch it again.

One file a run: the candles of all its markets, sorted by market and start, as `storage.ticks` has
them. How long one is stands in the file. What is drawn is folded to fewer, longer candles.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from engine.errors import StorageError
from storage.ticks import NO_CANDLES, Candle, merge

FILE = "playback.parquet"
STEPS_S = (1, 5, 15, 60, 300, 900, 3_600, 14_400, 86_400)
"""Lengths of a candle that is drawn; a multiple of the stored one is taken."""
STEP = b"step_ns"
SECOND_NS = 1_000_000_000


class Playback:
    """The candles of a run's markets. `step_ns` = how long each of them is."""

    def __init__(self, rows: pa.Table, step_ns: int) -> None:
        self.step_ns = step_ns
        self._rows = rows
        self._of: dict[str, pa.Table] = {}

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """Return the candles beside a run's journal, None where none were made.

        Raises StorageError naming a file that cannot be read.
        """
        path = folder / FILE
        if not path.is_file():
            return None
        try:
            step_ns = int((pq.read_metadata(path).metadata or {})[STEP])
            rows = pq.read_table(path, page_checksum_verification=True, use_threads=False)
            return cls(rows.replace_schema_metadata(None).cast(NO_CANDLES.schema), step_ns)
        except (OSError, KeyError, ValueError, pa.ArrowException) as error:
            raise StorageError(
                f"{path} cannot be read ({error}): remove it and read the prices again"
            ) from error

    def save(self, folder: Path) -> None:
        """Write the file whole, or not at all. Raises OSError."""
        path = folder / FILE
        half = path.with_suffix(".half")
        rows = self._rows.replace_schema_metadata({STEP: str(self.step_ns)})
        pq.write_table(rows, half, compression="zstd", write_page_checksum=True)
        half.replace(path)

    @property
    def markets(self) -> list[str]:
        """The instruments there are candles of, by name."""
        return sorted(pc.unique(pc.cast(self._rows["instrument"], pa.string())).to_pylist())

    def span(self, instrument: str) -> tuple[int, int] | None:
        """Return start of the first candle and end of the last, ns UTC; None = there is none."""
        starts = self._mine(instrument)["start_ns"]
        if not len(starts):
            return None
        return starts[0].as_py(), starts[len(starts) - 1].as_py() + self.step_ns

    def last(self, instrument: str, until_ns: int) -> Candle | None:
        """Return the newest candle that ended at or before a time; None = none had."""
        rows = self._mine(instrument)
        count = self._count_ended(rows, until_ns)
        return None if not count else _candles(rows.slice(count - 1, 1))[0]

    def candles(
        self, instrument: str, since_ns: int, until_ns: int, most: int
    ) -> tuple[int, list[Candle]]:
        """Return how long a candle is, and the candles, oldest first: at most about `most`.

        They began at or after `since_ns`, and what they hold had ended by `until_ns`: the last one
        may be shorter than the others.
        """
        rows = self._mine(instrument)
        rows = rows.slice(0, self._count_ended(rows, until_ns))
        rows = rows.filter(pc.greater_equal(rows["start_ns"], since_ns))
        step_ns = self._longer(max(0, until_ns - since_ns), most)
        if step_ns != self.step_ns and rows.num_rows:
            starts = pc.multiply(pc.divide(rows["start_ns"], step_ns), step_ns)
            place = rows.column_names.index("start_ns")
            rows = merge(rows.set_column(place, "start_ns", starts))
        return step_ns, _candles(rows)

    def _longer(self, span_ns: int, most: int) -> int:
        """Return the shortest length of which `most` cover a span; one of our steps at least."""
        fitting = (
            one * SECOND_NS
            for one in STEPS_S
            if one * SECOND_NS % self.step_ns == 0 and one * SECOND_NS * most >= span_ns
        )
        whole = -(-span_ns // (most * self.step_ns)) or 1
        return next(fitting, whole * self.step_ns)

    def _count_ended(self, rows: pa.Table, until_ns: int) -> int:
        ended = pc.less_equal(rows["start_ns"], until_ns - self.step_ns)
        return int(pc.sum(ended).as_py() or 0)

    def _mine(self, instrument: str) -> pa.Table:
        if instrument not in self._of:
            whose = pc.cast(self._rows["instrument"], pa.string())
            first, count = pc.index(whose, instrument).as_py(), pc.sum(pc.equal(whose, instrument))
            # They stand together: a part of the table, and no copy of a year of minutes.
            self._of[instrument] = self._rows.slice(max(0, first), count.as_py() or 0)
        return self._of[instrument]


def _candles(rows: pa.Table) -> list[Candle]:
    return [Candle(**row) for row in rows.drop_columns(["instrument"]).to_pylist()]


def whole(parts: Sequence[pa.Table]) -> pa.Table:
    """Return candles that were made in parts as one table: by market and start, each once."""
    return merge(pa.concat_tables(parts)) if parts else NO_CANDLES
