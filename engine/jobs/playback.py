"""Reads the prices of a backtest's markets and keeps them beside its journal, to watch it again."""

from __future__ import annotations

from collections.abc import Mapping

from engine.domain.jobs.playback import PlaybackJob
from engine.errors import BadInput
from engine.jobs.run import JobContext, job
from engine.lab.playback import read_playback
from engine.lab.recordings.door import Recording
from engine.lab.replay.setup import ENGINE, ReplayOptions
from storage.database import reading
from storage.runs import RunKind
from storage.views import Row, run_equity, run_markets
from storage.views import run as run_row


@job(PlaybackJob)
def playback(job: PlaybackJob, context: JobContext) -> Mapping[str, object]:
    """Make the candles of every market a run traded; made again they take the place of the first.

    Raises BadInput where there is no such run, where it kept no journal, or has no recording,
    StorageError where its folder cannot be written.
    """
    row, traded, span_ns = _run(job.run, context)
    folder = context.config.runs_folder / str(row["started_ns"])
    if not (folder / "journal.db").is_file():
        raise BadInput(
            f"backtest {job.run} kept no journal, or it was removed since: start it again, with "
            "every record kept"
        )

    def progress(recording: Recording) -> None:
        stats = recording.stats
        context.progress(stats.bytes_read, stats.bytes_total, "bytes", f"{stats.events:,} events")

    options = ReplayOptions.of_run(row)
    made = read_playback(
        options, context.config, folder, wanted=traded, span_ns=span_ns, progress=progress
    )
    return {
        "run": job.run,
        "markets": len(made.markets),
        "seconds_a_candle": made.step_ns // 1_000_000_000,
    }


def _run(number: int, context: JobContext) -> tuple[Row, list[str], int]:
    """Return a run's row, the markets it traded, and how long it was in ns."""
    with reading(context.config.state_path) as connection:
        row = run_row(connection, ENGINE, number)
        if row is None or row["kind"] != RunKind.REPLAY:
            raise BadInput(f"there is no backtest {number}: they are listed under Backtests")
        traded = [one["instrument"] for one in run_markets(connection, ENGINE, number)]
        points = run_equity(connection, ENGINE, number)
    if not traded:
        raise BadInput(f"backtest {number} placed no order: there is nothing to watch")
    return row, traded, points[-1][0] - points[0][0] if points else 0
