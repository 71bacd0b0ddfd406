from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from engine.errors import BadInput, BrokenInvariant, StorageError
from engine.runtime import tape as tape_module
from engine.runtime.tape import LIVES_APART, Tape, TapeEntry, TapeWriter, read
from engine.runtime.tape_format import QUIET_BYTES, block_bytes
from storage.tape_blocks import segments

SECOND = 1_000_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "home" / "tape"


def in_the_way(folder: Path) -> Path:
    """Let nothing be written into a folder, before which a file stands now; return that."""
    shutil.rmtree(folder.parent)
    folder.parent.write_text("in the way")
    return folder.parent


def silent(sentence: str) -> None:
    raise AssertionError(sentence)


def positions(folder: Path, **more: int) -> list[int]:
    return [entry.position for entry in read(folder, warn=silent, **more)]


def write(folder: Path, count: int, payload: bytes = b"x" * 100, **more: int) -> None:
    tape = Tape(folder, **more)
    start = tape.position
    for number in range(start + 1, start + count + 1):
        tape.append("frame", payload, number * SECOND)
        if number % 10 == 0:
            tape.flush()
    tape.close()


def test_what_was_received_comes_back(folder: Path) -> None:
    tape = Tape(folder)
    assert tape.append("frame", b"\x00\xff", 5) == 1
    assert tape.append("timer", b"", 6) == 2
    assert tape.append("befehl:ü", b"{}", 7) == 3
    tape.close()
    assert list(read(folder, warn=silent)) == [
        TapeEntry(position=1, kind="frame", at_ns=5, payload=b"\x00\xff"),
        TapeEntry(position=2, kind="timer", at_ns=6, payload=b""),
        TapeEntry(position=3, kind="befehl:ü", at_ns=7, payload=b"{}"),
    ]


def test_positions_go_on_after_a_restart(folder: Path) -> None:
    write(folder, 25)
    write(folder, 5)
    assert positions(folder) == list(range(1, 31))
    assert len(segments(folder)) == 2


def test_positions_the_journal_knows_are_not_used_again(folder: Path) -> None:
    write(folder, 5)
    tape = Tape(folder, after=9)
    assert tape.append("frame", b"", 10) == 10
    tape.close()
    assert positions(folder) == [1, 2, 3, 4, 5, 10]


@pytest.mark.parametrize("its_segment", ["stands", "is gone"])
def test_a_writer_that_comes_back_neither_takes_positions_of_a_later_life_nor_its_segment(
    folder: Path, its_segment: str
) -> None:
    hung = TapeWriter(folder)
    hung.append("frame", b"written", 1)
    hung.work()
    hung.append("frame", b"queued", 2)
    (written,) = segments(folder)
    later = TapeWriter(folder, after=1, apart=LIVES_APART)
    for number in range(3):
        later.append("frame", b"of the later life %d" % number, 3 + number)
    later.work()
    if its_segment == "is gone":
        written.unlink()
    for _ in range(2):  # the first one may learn that its segment is gone
        hung.append("frame", b"late", 9)
        hung.work()
    found = list(read(folder, warn=silent))
    assert [one.position for one in found] == sorted({one.position for one in found})
    assert sum(one.payload.startswith(b"of the later life") for one in found) == 3
    assert sum(one.payload == b"late" for one in found) == 2


def test_reading_starts_at_a_position_or_a_time(folder: Path) -> None:
    write(folder, 50, segment_bytes=200)
    assert len(segments(folder)) > 2
    assert positions(folder, from_position=37) == list(range(37, 51))
    assert positions(folder, from_ns=37 * SECOND) == list(range(37, 51))
    assert positions(folder, from_position=99) == []


def test_entries_nobody_waits_for_are_written_soon(folder: Path) -> None:
    tape = Tape(folder)
    tape.append("frame", b"x", 1)
    deadline = time.monotonic() + 10
    while not (folder.exists() and segments(folder)) and time.monotonic() < deadline:
        time.sleep(0.02)
    tape.flush()
    assert positions(folder) == [1]
    tape.close()


def test_a_large_frame_fits(folder: Path) -> None:
    payload = os.urandom(3_000_000)
    write(folder, 3, payload=payload)
    assert [entry.payload for entry in read(folder, warn=silent)] == [payload] * 3


def test_where_little_is_received_it_is_packed_better() -> None:
    def packed(size: int) -> float:
        chance = random.Random(1)
        queued = []
        while sum(len(payload) for _, _, payload in queued) < size:
            book = [b"market %d: %d" % (chance.randrange(6), chance.randrange(100) * 10)]
            book *= chance.randrange(1, 6)
            queued.append(("desk", len(queued) * SECOND, b" ".join(book)))
        return len(block_bytes(1, queued)) / size

    assert packed(QUIET_BYTES // 2) < 0.95 * packed(QUIET_BYTES)


# -- the budget ------------------------------------------------------------------------------------


def test_the_oldest_segments_go_when_there_is_too_much(folder: Path) -> None:
    write(folder, 200, payload=os.urandom(100), segment_bytes=500, keep_bytes=2_000)
    total = sum(path.stat().st_size for path in segments(folder))
    assert total <= 2_500
    kept = positions(folder)
    assert kept == list(range(kept[0], 201))
    assert kept[0] > 50


def test_the_oldest_segments_go_when_they_are_too_old(folder: Path) -> None:
    write(folder, 200, segment_ns=20 * SECOND, keep_ns=60 * SECOND)
    kept = positions(folder)
    assert kept[-1] == 200
    assert 60 <= 200 - kept[0] <= 100


def test_a_desk_that_was_off_for_two_days_deletes_every_old_segment_and_goes_on(
    folder: Path,
) -> None:
    """Several segments go at one start: their list was changed under its own walk."""
    write(folder, 200, segment_ns=20 * SECOND)
    tape = Tape(folder, segment_ns=20 * SECOND, keep_ns=60 * SECOND)
    tape.append("frame", b"x", 200 * SECOND + 2 * 86_400 * SECOND)
    tape.flush()
    assert tape.left_out == 0
    assert tape.notes.take(0) == []
    tape.close()
    assert positions(folder) == list(range(181, 202)), "the last one may hold what is young"


@pytest.mark.parametrize("left", [0, 3, 20])
def test_a_torn_segment_keeps_no_other_from_being_too_old(folder: Path, left: int) -> None:
    """When it began cannot be read: what stood before it ended before the next one, too."""
    write(folder, 200, segment_ns=20 * SECOND)
    for torn in segments(folder)[2:4]:
        os.truncate(torn, left)
    tape = Tape(folder, segment_ns=20 * SECOND, keep_ns=60 * SECOND)
    tape.append("frame", b"x", 200 * SECOND + 2 * 86_400 * SECOND)
    tape.flush()
    tape.close()
    assert len(segments(folder)) == 2


def test_a_budget_that_was_lowered_deletes_what_is_too_much_and_no_more(folder: Path) -> None:
    write(folder, 200, payload=os.urandom(100), segment_bytes=500)
    tape = Tape(folder, segment_bytes=500, keep_bytes=2_000)
    tape.append("frame", b"x", 201 * SECOND)
    tape.flush()
    assert tape.left_out == 0
    tape.close()
    assert positions(folder)[-1] == 201
    assert 1_000 <= sum(path.stat().st_size for path in segments(folder)) <= 2_500


def test_segments_that_a_job_deletes_meanwhile_are_no_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, 100, segment_ns=20 * SECOND)
    gone = [*segments(folder), folder / "00000000000000000007.tape"]
    monkeypatch.setattr("engine.runtime.tape.segments", lambda _: gone)
    tape = Tape(folder, keep_ns=SECOND, segment_ns=20 * SECOND)
    for path in gone:
        path.unlink(missing_ok=True)
    tape.append("frame", b"x", 500 * SECOND)
    tape.flush()
    assert tape.failure is None
    assert tape.left_out == 0
    tape.close()


@pytest.mark.parametrize(
    "odd",
    [
        "99999999999999999999.tape",
        "00000000000000000500.tape/",
        "odd.tape",
        "00000000000000000007.tape.1",
        "aside/",
    ],
)
def test_an_oddly_named_file_in_the_folder_is_left_alone(folder: Path, odd: str) -> None:
    write(folder, 20)
    (folder / odd).mkdir() if odd.endswith("/") else (folder / odd).write_bytes(b"odd")
    tape = Tape(folder, keep_bytes=1, segment_bytes=0)
    assert tape.append("frame", b"x", SECOND) == 21
    tape.append("frame", b"y", 2 * SECOND)
    tape.flush()
    tape.close()
    assert tape.left_out == 0
    assert (folder / odd).exists()


def test_a_block_that_cannot_be_made_is_left_out_and_noted_and_the_tape_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tape, whole = Tape(folder), tape_module.block_bytes

    def spoilt(first: int, entries: list[tuple[str, int, bytes]]) -> bytes:
        if entries[0][2] == b"poison":
            raise OverflowError("a number beyond 64 bits")
        return whole(first, entries)

    monkeypatch.setattr(tape_module, "block_bytes", spoilt)
    tape.append("frame", b"poison", 1)
    tape.flush()
    tape.append("frame", b"x", 2)
    tape.flush()
    assert tape.left_out == 1
    (alert,) = tape.notes.take(0)
    assert "1 entries are left out" in alert.text
    tape.close()
    assert positions(folder) == [2]


def test_a_file_in_the_place_of_the_folder_is_set_aside(folder: Path) -> None:
    tape = Tape(folder)
    tape.append("frame", b"one", 1)
    tape.flush()
    shutil.rmtree(folder)
    folder.write_text("in the way")
    tape.append("frame", b"two", 2)
    with suppress(StorageError):
        tape.flush(timeout_s=0.1)  # its segment is gone: a new one is begun at the next try
    tape.flush()
    tape.close()
    assert [entry.payload for entry in read(folder, warn=silent)] == [b"two"]
    assert (folder.parent / "aside" / "tape").read_text() == "in the way"
    assert "was no folder" in tape.notes.take(0)[0].text


# -- what may happen to files ----------------------------------------------------------------------

CHILD = """
import sys
from pathlib import Path
from engine.runtime.tape import Tape
tape = Tape(Path(sys.argv[1]))
number = 0
while True:
    for _ in range(100):
        number += 1
        tape.append("frame", b"x" * 500, number)
    tape.flush()
    print(number, flush=True)
"""


@pytest.mark.long
def test_kill_9_leaves_a_tape_that_reads(folder: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        text=True,
    )
    assert child.stdout is not None
    proven = [int(child.stdout.readline()) for _ in range(10)]
    os.kill(child.pid, signal.SIGKILL)
    proven += [int(line) for line in child.stdout.read().splitlines()]
    child.stdout.close()
    child.wait(150)
    torn: list[str] = []
    found = [entry.position for entry in read(folder, warn=torn.append)]
    assert found == list(range(1, len(found) + 1))
    assert len(found) >= proven[-1]


def test_a_torn_end_is_told_and_read_up_to_the_tear(folder: Path) -> None:
    write(folder, 30)
    (segment,) = segments(folder)
    whole = segment.read_bytes()
    for cut in (3, 40, 60):
        segment.write_bytes(whole[:-cut])
        torn: list[str] = []
        assert [e.position for e in read(folder, warn=torn.append)] == list(range(1, 21))
        assert len(torn) == 1
        assert "is torn at byte" in torn[0]
    write(folder, 5)
    torn = []
    found = [entry.position for entry in read(folder, warn=torn.append)]
    assert found == list(range(1, 26))
    assert len(torn) == 1


def test_a_segment_without_a_whole_block_is_replaced(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / f"{1:020d}.tape").write_bytes(b"TAP")
    write(folder, 3)
    assert positions(folder) == [1, 2, 3]


@pytest.mark.parametrize("where", [0.45, 0.6, 0.75])
def test_a_flipped_byte_is_found(folder: Path, where: float) -> None:
    write(folder, 30, payload=os.urandom(100))
    (segment,) = segments(folder)
    raw = bytearray(segment.read_bytes())
    raw[int(len(raw) * where)] ^= 1
    segment.write_bytes(raw)
    found: list[int] = []
    with pytest.raises(BadInput, match="is damaged at byte"):
        found.extend(entry.position for entry in read(folder, warn=silent))
    assert found in ([*range(1, 11)], [*range(1, 21)])
    tape = Tape(folder)
    assert tape.append("frame", b"", 1) > 30
    tape.close()


def test_a_refusing_disk_is_told_and_nothing_waiting_is_lost(folder: Path) -> None:
    tape = Tape(folder)
    tape.append("frame", b"one", 1)
    tape.flush()
    way = in_the_way(folder)
    tape.append("frame", b"two", 2)
    with pytest.raises(StorageError, match="1 tape entries could not be written: the tape in"):
        tape.flush(timeout_s=0.3)
    assert tape.failure is not None
    way.unlink()
    tape.flush()
    assert tape.failure is None
    tape.close()
    assert [entry.payload for entry in read(folder, warn=silent)] == [b"two"]


def test_closing_on_a_refusing_disk_says_what_is_missing(folder: Path) -> None:
    tape = Tape(folder)
    in_the_way(folder)
    tape.append("frame", b"x", 1)
    with pytest.raises(StorageError, match="1 tape entries could not be written"):
        tape.close()
    with pytest.raises(StorageError, match="cannot be used"):
        Tape(folder)


def test_a_full_queue_raises(folder: Path) -> None:
    tape = Tape(folder, queue_bytes_max=1_000)
    way = in_the_way(folder)
    tape.append("frame", b"x" * 900, 1)
    with pytest.raises(StorageError, match="the tape takes no more: 900 bytes wait"):
        tape.append("frame", b"x" * 200, 2)
    way.unlink()
    tape.flush()
    assert tape.append("frame", b"x" * 200, 2) == 2
    tape.close()


def test_a_kind_is_a_short_word(folder: Path) -> None:
    tape = Tape(folder)
    with pytest.raises(BrokenInvariant, match="longer than 63"):
        tape.append("k" * 64, b"", 1)
    tape.close()
