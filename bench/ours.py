"""One run of the workload through the whole engine, in a process of its own.

`python -m bench.ours MODE WORKLOAD.npy REPEAT` prints one line `RESULT {json}`. `full` keeps
journal and decision records on the disk, `digest` keeps only the journal's digest. Latency is zero
and the venue settles at once, as for the peers; risk, planner and ledger are always on.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from bench.requote import Requote
from bench.workload import INSTRUMENT, WorkloadRecording
from engine.bots.bot import Bot
from engine.domain.instruments import BotId
from engine.domain.money import MICRO
from engine.domain.settings import Limit, RiskLimits
from engine.lab.replay.run import ACCOUNT, assemble
from engine.runtime.decisions import DecisionLog
from engine.runtime.journal import DigestRecorder
from engine.venues.paper.settings import PaperSettings
from storage.journal_writer import JournalWriter

CASH_MICRO = 1_000_000 * MICRO
WIDE = Limit(absolute=1e9)
LIMITS = RiskLimits(
    order_value_max=WIDE,
    exposure_instrument_max=WIDE,
    exposure_market_max=WIDE,
    exposure_bot_max=WIDE,
    exposure_account_max=WIDE,
    exposure_total_max=WIDE,
    data_age_ms_max=3_600_000,
)
"""Every check runs; none of them bites, because the peers have none."""

PAPER = PaperSettings(
    order_latency_ms=0,
    cancel_latency_ms=0,
    settle_delay_ms=0,
    gtd_early_ms=0,
    starting_cash={"USD": CASH_MICRO / MICRO},
)


def main(mode: str, path: str, repeat: str) -> None:
    """Run once and print the result."""
    with tempfile.TemporaryDirectory() as folder:
        full = mode == "full"
        journal = Path(folder) / "journal.db"
        recorder = (
            JournalWriter(journal, engine_id="bench", waits_when_full=True, synchronous="NORMAL")
            if full
            else DigestRecorder()
        )
        decisions = (
            DecisionLog(Path(folder) / "decisions.db", engine_id="bench", waits_when_full=True)
            if full
            else None
        )
        replay = assemble(
            recording=WorkloadRecording(Path(path), int(repeat)),
            bots=(maker(),),
            limits=LIMITS,
            paper=PAPER,
            cash_micro=CASH_MICRO,
            currency="USD",
            recorder=recorder,
            decide=decisions.append if decisions else _ignored,
        )
        began_s = time.process_time()
        result = replay.run(lambda events, elapsed_s: None)
        recorder.close()
        if decisions:
            decisions.close()
        run_s = time.process_time() - began_s
    answer = {
        "events": result.events,
        "run_cpu_s": run_s,
        "ev_s": result.events / result.elapsed_s,
        "orders": result.orders,
        "fills": result.fills,
        "rss_peak": result.peak_rss_mb,
        "digest": result.digest,
    }
    print("RESULT " + json.dumps(answer))


def maker() -> Bot:
    """Return the bot of the workload."""
    return Bot(
        name=BotId("bench"),
        account=ACCOUNT,
        strategy=Requote(),
        capital_micro=CASH_MICRO,
        instruments=frozenset({INSTRUMENT.id}),
    )


def _ignored(decision: object) -> None:
    """Keep no record."""


if __name__ == "__main__":
    main(*sys.argv[1:])
