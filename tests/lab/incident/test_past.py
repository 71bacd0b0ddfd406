"""What a crash takes of the decision log's end is no difference; anything before it is one."""

from __future__ import annotations

import msgspec
import pytest

from engine.domain.decisions import Decision
from engine.domain.instruments import BotId, InstrumentId
from engine.lab.incident.past import Decisions, Differs
from engine.runtime.decisions import COUNTS_EVERY_S
from storage.decisions import StoredDecision

S = 1_000_000_000


def decision(second: float, instrument: str = "quiet", outcome: str = "hold") -> Decision:
    return Decision(
        number=int(second * 10) + 1, bot=BotId("maker"), instrument=InstrumentId(instrument),
        at_ns=int(second * S), regime="calm", inputs=(), build_up=(), gates=(), outcome=outcome,
        intent=None,
    )  # fmt: skip


def row(first: Decision, last: Decision, count: int) -> StoredDecision:
    """A row as the log had it when it was written last."""
    return StoredDecision(
        row=first.number, engine_id="e1", number=first.number, last_number=last.number,
        bot=first.bot, instrument=first.instrument, at_ns=first.at_ns, last_ns=last.at_ns,
        count=count, outcome=first.outcome, body=msgspec.msgpack.encode(first),
    )  # fmt: skip


def replay(between_s: float, *, ends: bool) -> Decisions:
    """Replay a quiet pair counted twice, and a busy one so much later, at which the log ends.

    The log counted the quiet one once: it died before it wrote the count again.
    """
    once, again, busy = decision(0), decision(1), decision(1 + between_s, "busy")
    rows = [row(once, once, 1), row(busy, busy, 1)]
    found = Decisions(iter(rows), busy.at_ns)
    for made in (once, again, busy):
        found.take(made)
    if ends:
        found.take(decision(2 + between_s, outcome="quote"))
    found.end(busy.at_ns + 3 * S)
    return found


@pytest.mark.parametrize("ends", [False, True])
def test_a_count_the_log_could_not_write_before_a_crash_is_no_difference(ends: bool) -> None:
    found = replay(COUNTS_EVERY_S - 1, ends=ends)
    assert (found.evaluations, found.compared, found.late) == (3 + ends, 2, int(ends))


@pytest.mark.parametrize("ends", [False, True])
def test_a_count_that_was_written_long_before_the_end_is_compared(ends: bool) -> None:
    with pytest.raises(Differs) as differs:
        replay(2 * COUNTS_EVERY_S, ends=ends)
    assert differs.value.difference.what == "decision 1 of maker about quiet"
