"""The arguments of the job that reads the prices of a backtest, so that it can be watched again."""

from __future__ import annotations

from engine.domain.jobs import JobArguments, asked


class PlaybackJob(JobArguments):
    """Read what the markets of a backtest did, so that it can be watched again on its page.

    Its recording is read once more, without a bot; the prices are kept beside its journal.
    """

    run: int = asked("Backtest", "its number; it must have kept its journal", ge=1)
