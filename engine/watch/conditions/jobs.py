"""Jobs of the worker that failed."""

from __future__ import annotations

from collections.abc import Iterator

from engine.watch.conditions import StateSeen, event
from engine.watch.desk import Trouble

CURSOR = "jobs cursor"
JOBS_MAX = 200


class Jobs:
    """Reads each failed job once."""

    every_s = 5.0
    kinds = ("job_failed",)
    needs_engine = False

    def find(self, seen: StateSeen) -> Iterator[Trouble]:
        """Give jobs that failed since the last look."""
        since_ns = min(int(seen.meta.get(CURSOR, seen.now_ns)), seen.now_ns)
        rows = seen.rows(
            "SELECT id, kind, error, finished_ns FROM jobs WHERE engine_id = ? AND "
            "state = 'failed' AND finished_ns > ? AND typeof(finished_ns) = 'integer' "
            "ORDER BY finished_ns LIMIT ?",
            since_ns,
            JOBS_MAX,
        )
        for row in rows:
            since_ns = max(since_ns, row["finished_ns"])
            yield Trouble(
                kind="job_failed",
                subject=event(str(row["id"])),
                text=f"job {row['id']} ({row['kind']}) failed: {str(row['error'])[:300]}",
            )
        seen.meta[CURSOR] = str(min(since_ns, seen.now_ns))


CONDITION = Jobs
