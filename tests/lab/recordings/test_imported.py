"""What a raw recording told is told again from its import: the same, or the raw file is read."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from engine.domain.events import Event
from engine.errors import BadInput
from engine.lab.recordings import open as opening
from engine.lab.recordings.door import Recording
from engine.lab.recordings.open import (
    OWN,
    ImportedRecording,
    Importing,
    digest_of_code,
    open_recording,
)

Events = list[tuple[int, Event]]


@pytest.fixture
def day(tape: Path, tmp_path: Path) -> Path:
    """A file of its own, to be changed."""
    copied = tmp_path / tape.name
    copied.write_bytes(tape.read_bytes())
    return copied


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "imports"


def events_of(recording: Recording) -> Events:
    return list(recording.events())


def counts(recording: Recording) -> dict[str, object]:
    stats, names = recording.stats, (
        name for kind in type(recording.stats).__mro__ for name in getattr(kind, "__slots__", ())
    )  # fmt: skip
    return {name: getattr(stats, name) for name in names if name not in OWN}


def imports(folder: Path) -> list[Path]:
    return sorted(folder.glob("*")) if folder.is_dir() else []


def test_an_import_tells_and_counts_what_the_raw_file_did(day: Path, folder: Path) -> None:
    raw = open_recording(day)
    first = open_recording(day, imports=folder)
    assert isinstance(first, Importing)
    expected = events_of(raw)
    assert events_of(first) == expected
    again = open_recording(day, imports=folder)
    assert isinstance(again, ImportedRecording)
    assert events_of(again) == expected
    assert counts(again) == counts(raw) == counts(first)
    assert again.stats.imported_ns
    assert again.stats.bytes_read == again.stats.bytes_total
    assert again.stats.hash_matched == again.stats.hash_checked > 0


def test_the_cap_on_inferred_sizes_has_an_import_of_its_own(day: Path, folder: Path) -> None:
    whole = events_of(open_recording(day, imports=folder))
    capped = open_recording(day, 5_000_000, imports=folder)
    assert isinstance(capped, Importing)
    assert events_of(capped) != whole
    assert events_of(open_recording(day, imports=folder)) == whole
    assert len(imports(folder)) == 2


@pytest.mark.parametrize("changed", ["a line", "the table of tokens", "the reader"])
def test_what_decides_what_is_told_makes_the_import_anew(
    changed: str, day: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events_of(open_recording(day, imports=folder))
    if changed == "a line":
        day.write_bytes(b"".join(day.read_bytes().splitlines(keepends=True)[:-1]))
    elif changed == "the table of tokens":
        table = "market_condition_id,token0,token1\n"
        day.with_name("markets.csv").write_text(table, encoding="utf-8")
    else:
        monkeypatch.setattr(opening, "_reader_digest", lambda: b"another reader")
    raw = events_of(open_recording(day))
    again = open_recording(day, imports=folder)
    assert isinstance(again, Importing)
    assert events_of(again) == raw
    assert isinstance(open_recording(day, imports=folder), ImportedRecording)


def test_words_about_the_code_leave_an_import_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "reader.py"

    def digest(text: str) -> bytes:
        path.write_text(text, encoding="utf-8")
        return digest_of_code([path])

    code = 'X = 1\n\n\nclass A:\n    def read(self) -> str:\n        return "a text"\n'
    said = (
        '"""What it reads."""\n\nX = 1\n"""How many."""\n\n\nclass A:\n    """One."""\n\n'
        '    def read(self) -> str:\n        """Give it."""\n        return "a text"  # why\n'
    )
    assert digest(said) == digest(code)
    assert digest(code.replace("X = 1", "X = 2")) != digest(code)
    assert digest(code.replace("a text", "another")) != digest(code)


@pytest.mark.parametrize("damage", ["a flipped byte", "a torn end", "nothing", "no counts"])
def test_a_damaged_import_is_made_anew_before_anything_is_told(
    damage: str, day: Path, folder: Path
) -> None:
    expected = events_of(open_recording(day, imports=folder))
    (path,) = imports(folder)
    whole = path.read_bytes()
    if damage == "a flipped byte":
        middle = len(whole) // 2
        path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    elif damage == "no counts":
        path.write_bytes(whole[: whole.rindex(b"BLK1")])
    else:
        path.write_bytes(whole[: len(whole) - 9 if damage == "a torn end" else 0])
    with capture_logs() as logs:
        again = open_recording(day, imports=folder)
    assert [line["event"] for line in logs] == ["import.damaged"]
    assert events_of(again) == expected
    assert path.read_bytes() != b""
    assert isinstance(open_recording(day, imports=folder), ImportedRecording)


def test_a_torn_recording_is_told_to_its_tear_from_its_import_too(day: Path, folder: Path) -> None:
    day.write_bytes(day.read_bytes()[:-200])

    def to_its_tear(recording: Recording) -> tuple[Events, str]:
        received: Events = []
        with pytest.raises(BadInput) as torn:
            received.extend(recording.events())
        return received, str(torn.value)

    first = to_its_tear(open_recording(day, imports=folder))
    again = open_recording(day, imports=folder)
    assert isinstance(again, ImportedRecording)
    assert to_its_tear(again) == first
    assert first[0]


def test_what_was_not_played_to_its_end_leaves_no_import(day: Path, folder: Path) -> None:
    events = open_recording(day, imports=folder).events()
    assert len(list(islice(events, 5))) == 5
    assert imports(folder)  # under way
    events.close()  # type: ignore[attr-defined]
    assert imports(folder) == []


def test_a_disk_that_refuses_costs_the_import_alone(day: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "imports"
    blocked.write_text("a file where the folder should be", encoding="utf-8")
    with capture_logs() as logs:
        assert events_of(open_recording(day, imports=blocked)) == events_of(open_recording(day))
    assert "import.refused" in {line["event"] for line in logs}


def test_the_imports_used_longest_ago_make_room(
    day: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events_of(open_recording(day, imports=folder))
    (first,) = imports(folder)
    monkeypatch.setattr(opening, "BYTES_MAX", 2 * first.stat().st_size + 4_000)
    events_of(open_recording(day, 5_000_000, imports=folder))
    (second,) = set(imports(folder)) - {first}
    os.utime(first, ns=(1, 1))
    os.utime(second, ns=(2, 2))
    open_recording(day, imports=folder)  # used now
    events_of(open_recording(day, 6_000_000, imports=folder))
    left = imports(folder)
    assert first in left
    assert second not in left
    assert len(left) == 2


def test_recorded_sessions_tell_the_same_from_their_import(recordings: Path, folder: Path) -> None:
    path = recordings / "polymarket_multifeed_raw"
    raw = open_recording(path, imports=folder)
    expected = events_of(raw)
    again = open_recording(path, imports=folder)
    assert isinstance(again, ImportedRecording)
    assert events_of(again) == expected
    assert counts(again) == counts(raw)
