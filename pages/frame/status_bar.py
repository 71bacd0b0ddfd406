"""The status bar: one fragment each second, and KILL in two clicks."""

from __future__ import annotations

import streamlit as st

from engine.domain.instruments import Mode
from engine.errors import PitbossError
from pages.frame import bar, kill_box
from pages.frame.health import health_of
from pages.kit import guard
from pages.kit.clock import now_ns
from pages.kit.data import fresh
from pages.kit.home import config
from storage.latch import read_latch
from storage.views.frame import FrameSnapshot, snapshot

DAMAGED = "A row of the state is not as expected: KILL works; the dashboard's log says which row."
NOBODY = FrameSnapshot(engine=None, accounts=(), orders=())


def mode_shown(modes: list[Mode]) -> Mode | None:
    """Return the mode all figures are of: the chosen one, else the first of `modes_of`."""
    chosen = st.session_state.get("mode")
    return chosen if chosen in modes else next(iter(modes), None)


def choose_mode() -> None:
    """Let the operator choose where accounts of several modes exist: they never mix."""
    modes = guard.tried("the modes", lambda: bar.modes_of(fresh(snapshot)), [])
    if len(modes) > 1:
        follow_address(modes)
        shown = mode_shown(modes)
        fixed = [mode for mode in bar.DANGER if mode in modes]
        # A mode that is kept needs no default, and must not have one beside it.
        index = 0 if "mode" in st.session_state or shown is None else fixed.index(shown)
        st.radio("Mode shown", fixed, index=index, key="mode", format_func=str.upper)


def follow_address(modes: list[Mode]) -> None:
    """Show the mode an address names, once per address: its figures are of that mode."""
    linked = st.query_params.get("mode")
    if linked == st.session_state.get("mode_linked"):
        return
    st.session_state["mode_linked"] = linked
    if linked in modes:
        st.session_state["mode"] = Mode(linked)


def show() -> None:
    """Draw the bar at the top of the page."""
    with st.container(key="statusbar", gap="small"):
        _tick()


@st.fragment(run_every=1.0)
def _tick() -> None:
    now = now_ns()
    unreadable = bar.html([_cell(DAMAGED)], now, alive=False), NOBODY, False, DAMAGED
    shown, seen, alive, broken = guard.tried("the status bar", lambda: _seen(now), unreadable)
    with st.container(horizontal=True, wrap=False, vertical_alignment="top", gap="small"):
        st.html(shown, width="stretch")
        kill_box.button(now)
    if broken:
        st.error(broken)
    kill_box.show(seen, alive=alive, now=now)


def _seen(now: int) -> tuple[str, FrameSnapshot, bool, str]:
    """Return the bar, what it shows, whether an engine lives, and why the state cannot be read."""
    try:
        seen, broken = fresh(snapshot), ""
    except PitbossError as error:
        seen, broken = NOBODY, str(error)
    alive = health_of(seen.engine, now).alive
    shown = bar.cells(seen, read_latch(config().kill_path), mode_shown(bar.modes_of(seen)), now)
    if broken:
        shown[0] = _cell(broken)
    return bar.html(shown, now, alive=alive), seen, alive, broken


def _cell(broken: str) -> bar.StatusCell:
    return bar.StatusCell(name="Engine", value="STATE UNREADABLE", tone="bad", hint=broken)
