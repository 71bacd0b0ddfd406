"""What a crash takes of the decision log's end is no difference; anything before it is one."""

from __future__ import annotations

import msgspec
import pytest

from engine.domain.decisions import Decision
from engine.domain.effects import RaiseAlert
from engine.domain.instruments import AccountId, BotId, InstrumentId
from engine.lab.incident.past import Decisions, Differs, Effects
from engine.runtime.decisions import COUNTS_EVERY_S
from storage.decisions import StoredDecision
from storage.journal import Record

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


DEMO = AccountId("demo")


def journaled(alert: RaiseAlert, *, unsaid: tuple[str, ...] = ()) -> Record:
    """Return the record of an alert, as a version wrote it that had no fields of these names."""
    body = {**msgspec.to_builtins(alert), "type": "RaiseAlert"}
    kept = {name: value for name, value in body.items() if name not in unsaid}
    return Record(
        seq=1, at_ns=5, account=DEMO, kind="RaiseAlert", body=msgspec.msgpack.encode(kept)
    )


def raised(**changes: object) -> RaiseAlert:
    given = {"kind": "fill_failed", "text": "fill f1", "account": DEMO, "bot": BotId("maker")}
    return RaiseAlert(**{**given, "numbers": {"order": "1"}, **changes})  # type: ignore[arg-type]


def test_an_alert_of_before_that_said_less_of_its_place_and_figures_is_the_same() -> None:
    effects = Effects(end_ns=10)
    effects.decided(DEMO, [raised(), raised()], 5)
    effects.match(journaled(raised(bot=None), unsaid=("numbers",)))
    effects.match(journaled(raised()))
    assert effects.compared == 2


@pytest.mark.parametrize(
    "change", [{"text": "fill f2"}, {"numbers": {"order": "2"}}, {"bot": BotId("other")}]
)
def test_an_alert_that_says_otherwise_is_a_difference(change: dict[str, object]) -> None:
    effects = Effects(end_ns=10)
    effects.decided(DEMO, [raised(**change)], 5)
    with pytest.raises(Differs):
        effects.match(journaled(raised()))
