"""A past lived again: the same byte for byte, or the first message that differs is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.config import Config
from engine.domain.effects import PlaceOrder
from engine.errors import BadInput, JournalCorrupt
from engine.lab.incident.run import ComparedRuns, Incident, incident
from engine.runtime.tape import read
from engine.runtime.tape_format import block_bytes
from storage.decisions import StoredDecision, StoredPlan, kept
from storage.incidents import journal_span
from storage.journal import last_seq
from storage.tape_blocks import FILE_MAGIC, segment_name, segments
from tests.lab.incident.conftest import Journal
from tests.storage.kept import rewrite

HOUR_NS = 3_600 * 1_000_000_000


def look(past: Config, at_ns: int | None = None, around_ns: int = HOUR_NS) -> Incident:
    span = journal_span(past.journal_path)
    middle = (span.first_ns + span.last_ns) // 2 if at_ns is None else at_ns
    return incident(past, at_ns=middle, around_ns=around_ns, show=lambda *_: None)


def compared(past: Config) -> ComparedRuns:
    return look(past).compared


@pytest.mark.long
def test_a_played_recording_is_lived_again_byte_for_byte(past: Config) -> None:
    found = compared(past)
    assert found.difference is None
    assert found.again
    assert not found.notes
    assert found.decisions == len(stored(past, StoredDecision)) > 10
    assert found.plans == len(stored(past, StoredPlan)) > 10
    assert found.evaluations >= found.decisions
    assert found.effects > 20
    assert "byte for byte" in found.sentence()


@pytest.mark.long
def test_a_record_that_was_decided_otherwise_is_named(past: Config, journal: Journal) -> None:
    seq = journal.of("PlaceOrder")

    def cheaper(body: bytes) -> bytes:
        effect = msgspec.msgpack.decode(body, type=PlaceOrder)
        order = msgspec.structs.replace(effect.order, price=effect.order.price - 100)
        return msgspec.msgpack.encode(PlaceOrder(order=order))

    journal.change(seq, cheaper)
    found = compared(past)
    assert found.difference is not None
    assert found.difference.what == f"record {seq} of paper"
    kept, again = (msgspec.json.decode(t) for t in (found.difference.kept, found.difference.again))
    assert kept["order"]["price"] == again["order"]["price"] - 100
    assert found.sentence().startswith("IT DIFFERS: record")


@pytest.mark.long
def test_a_report_that_was_received_otherwise_is_found_by_what_follows(
    past: Config, journal: Journal
) -> None:
    """The venue's word is an input: a changed one shows in the first decision it changes."""
    seq = journal.of("OrderFilled")
    journal.rows("UPDATE records SET account = 'other' WHERE seq = ?", seq)
    journal.change(seq, lambda body: body)
    difference = compared(past).difference
    assert difference is not None
    assert difference.at_ns >= journal.at_ns(seq)


def stored(past: Config, kind: type[StoredDecision | StoredPlan]) -> list[Any]:
    rows = [one for rows in kept(past.decisions_path) for one in rows if type(one) is kind]
    return sorted(rows, key=lambda one: one.row)


@pytest.mark.long
@pytest.mark.parametrize("kind", [StoredDecision, StoredPlan])
def test_a_changed_row_of_the_decision_log_is_named(
    past: Config, kind: type[StoredDecision | StoredPlan]
) -> None:
    row = stored(past, kind)[7]
    made = msgspec.msgpack.decode(row.body)
    changed = made | {"at_ns": made["at_ns"] + 1}
    lie = msgspec.structs.replace(row, body=msgspec.msgpack.encode(changed))
    rewrite(past.decisions_path, lie)
    difference = compared(past).difference
    assert difference is not None
    assert difference.what.startswith("decision" if kind is StoredDecision else "the plan for")
    assert f'"at_ns":{changed["at_ns"]}' in difference.kept
    assert f'"at_ns":{made["at_ns"]}' in difference.again


def test_a_count_of_repeated_decisions_is_compared(past: Config) -> None:
    row = stored(past, StoredDecision)[4]
    rewrite(past.decisions_path, msgspec.structs.replace(row, count=row.count + 1))
    difference = compared(past).difference
    assert difference is not None
    assert '"count"' in difference.kept


@pytest.mark.long
def test_after_a_difference_the_window_is_shown_as_it_was_kept(
    past: Config, journal: Journal
) -> None:
    whole = look(past)
    journal.change(journal.of("PlaceOrder"), lambda body: body.replace(b"post_only", b"post_onlx"))
    found = look(past)
    assert found.compared.difference is not None
    kept = [step for step in found.steps if "seq" in step]
    assert len(kept) == len([step for step in whole.steps if "seq" in step])


def test_a_torn_journal_is_refused_and_says_which_record(past: Config, journal: Journal) -> None:
    seq = journal.of("OrderFilled")
    journal.change(seq, lambda body: body[:-1] + b"\x00", proven=False)
    with pytest.raises(JournalCorrupt, match=f"record {seq} does not match its checksum"):
        look(past)
    journal.rows("DELETE FROM records WHERE seq = ?", seq)
    with pytest.raises(JournalCorrupt, match=f"lacks record {seq}"):
        look(past)


def test_a_moment_outside_the_journal_is_refused_with_what_it_tells(past: Config) -> None:
    span = journal_span(past.journal_path)
    for at_ns in (span.first_ns - HOUR_NS, span.last_ns + HOUR_NS):
        with pytest.raises(BadInput, match=r"the journal covers .* is outside of it"):
            look(past, at_ns)


def test_a_home_where_nothing_traded_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is no journal at"):
        incident(Config(home=tmp_path), at_ns=1, around_ns=1, show=lambda *_: None)


def test_an_unknown_account_is_refused_with_those_that_are_known(past: Config) -> None:
    span = journal_span(past.journal_path)
    with pytest.raises(BadInput, match="no account 'nobody'; it knows: paper"):
        incident(past, at_ns=span.last_ns, around_ns=1, account="nobody", show=lambda *_: None)


def test_a_tape_that_was_rotated_away_is_said_and_the_rest_shown(past: Config) -> None:
    for path in segments(past.tape_folder):
        path.unlink()
    found = look(past)
    assert not found.compared.again
    assert found.compared.difference is None
    assert any("began before the tape does" in note for note in found.compared.notes)
    assert any("no book is shown" in note for note in found.compared.notes)
    kinds = {step["k"] for step in found.steps}
    assert {"decision", "effect", "venue", "fill"} <= kinds
    assert found.accounts == {"paper": "paper"}


@pytest.mark.long
def test_a_hole_in_the_tape_is_refused(past: Config) -> None:
    entries = list(read(past.tape_folder, warn=print))
    third = len(entries) // 3
    for segment in segments(past.tape_folder):
        segment.unlink()  # where they end depends on how long a life took
    for some in (entries[: 2 * third], entries[2 * third + 5 :]):
        path = past.tape_folder / segment_name(some[0].position)
        queued = [(one.kind, one.at_ns, one.payload) for one in some]
        path.write_bytes(FILE_MAGIC + block_bytes(some[0].position, queued))
    hole = f"the tape lacks the entries {2 * third + 1:,} to {2 * third + 5:,}"
    with pytest.raises(BadInput, match=hole):
        look(past)


def test_a_damaged_tape_is_refused(past: Config) -> None:
    last = segments(past.tape_folder)[-1]
    body = bytearray(last.read_bytes())
    body[len(body) // 2] ^= 0xFF
    last.write_bytes(bytes(body))
    with pytest.raises(BadInput, match="checksum does not match"):
        look(past)


@pytest.mark.long
def test_other_code_than_ran_is_said(past: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.lab.incident.run.code_digest", lambda: "newer")
    found = compared(past)
    assert found.difference is None
    assert "ran other code than this" in found.notes[0]


@pytest.mark.long
def test_living_again_changes_nothing(past: Config) -> None:
    before = {path: path.read_bytes() for path in past.home.rglob("*.tape")}
    seq = last_seq(past.journal_path)
    look(past)
    assert {path: path.read_bytes() for path in past.home.rglob("*.tape")} == before
    assert last_seq(past.journal_path) == seq
