"""The dead man's switch in the status bar: it counts down to the venue's own cancel."""

from __future__ import annotations

import msgspec

from engine.domain.instruments import Mode
from pages.frame.bar import NAME, cells, heartbeat_cell
from storage.live_accounts import VenueHeartbeat
from storage.views.frame import FrameSnapshot
from tests.pages.test_bar import NOW, SECOND, engine

BEATS = VenueHeartbeat(
    account="real",
    mode=Mode.LIVE,
    beating=True,
    reason="",
    armed_ns=NOW - 60 * SECOND,
    beat_ns=NOW - 3 * SECOND,
    cancels_ns=NOW + 12 * SECOND,
)
STOPPED = msgspec.structs.replace(
    BEATS, beating=False, reason="no heartbeat is sent: the user channel"
)


def value(beat: VenueHeartbeat, *, alive: bool = True, now_ns: int = NOW) -> tuple[str, str]:
    cell = heartbeat_cell((beat,), Mode.LIVE, now_ns, alive=alive)
    assert cell is not None
    return cell.value, cell.tone


def test_switch_that_beats_is_shown_with_its_age_and_what_it_covers() -> None:
    assert value(BEATS) == ("heartbeat 3.0 s ago", "ok")
    cell = heartbeat_cell((BEATS,), Mode.LIVE, NOW, alive=True)
    assert cell is not None
    assert "by hand" in cell.hint


def test_switch_that_stopped_counts_down_to_the_venues_cancel() -> None:
    assert value(STOPPED) == ("VENUE CANCELS IN 12 s", "bad")
    assert value(BEATS, alive=False) == ("VENUE CANCELS IN 12 s", "bad")
    assert value(STOPPED, now_ns=NOW + 12 * SECOND) == ("LAPSED", "bad")


def test_switch_that_was_never_armed_promises_nothing() -> None:
    never = msgspec.structs.replace(STOPPED, armed_ns=None, beat_ns=None, cancels_ns=None)
    assert value(never) == ("NOT ARMED", "warn")


def test_worst_account_of_the_mode_is_shown_and_other_modes_are_not() -> None:
    other = msgspec.structs.replace(STOPPED, account="second")
    cell = heartbeat_cell((BEATS, other), Mode.LIVE, NOW, alive=True)
    assert cell is not None
    assert "second" in cell.hint
    assert heartbeat_cell((BEATS,), Mode.DEMO, NOW, alive=True) is None


def test_bar_has_the_cell_only_where_an_account_beats() -> None:
    bare = FrameSnapshot(engine=engine(), accounts=(), orders=())
    assert NAME not in {cell.name for cell in cells(bare, None, Mode.LIVE, NOW)}
    told = FrameSnapshot(engine=engine(), accounts=(), orders=(), beats=(BEATS,))
    assert NAME in {cell.name for cell in cells(told, None, Mode.LIVE, NOW)}
