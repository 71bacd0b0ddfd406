"""The engine's own switch, the latest stop's proof, programs, phases.

A stop cancels every order of every account and proves it; the desk's other programs go on. A start
may pause every bot first. KILL in the bar above works in each phase.

Changes: starts, stops, restarts it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from itertools import pairwise

import streamlit as st

from engine.errors import NoEngine, PitbossError
from pages import Page
from pages.kit import guard, panels
from pages.kit.data import ask, engine_id, forget, health_of
from pages.kit.home import config, now_ns
from pages.kit.markdown import literal
from pages.kit.tables import Col, ColKind, columns_of, table
from pages.kit.words import NOTHING, SECOND_NS, age, count, moment
from pages.shared import receipt as receipts
from storage import supervisor
from storage.commands import STOP_PROOF, latest_receipt
from storage.live import engine_status
from storage.phases import INIT, RECOVERY, STOPPED, phases
from storage.supervisor import FAILURES, ProgramStatus, socket_in
from storage.switch import EngineSwitch
from storage.views.frame import engine_seen, snapshot

PAGE = Page("Engine", ":material/power_settings_new:", "Guard", 2)

REFRESH_S = 2.0
ASKED_NS_MAX = 15 * SECOND_NS
"""A question without an answer closes itself."""

STOP, START, RESTART = "stop", "start", "restart"
PROGRAMS = columns_of(
    Col("name", "Program"),
    Col("state", "State"),
    Col("start_ns", "Started"),
    Col("pid", "Process"),
    Col("words", "Detail", ColKind.LONG),
)
PHASES = columns_of(
    Col("at_ns", "At"),
    Col("phase", "Phase"),
    Col("lasted", "Lasted"),
    Col("reason", "Reason", ColKind.LONG),
    Col("pid", "Process"),
)


def switch() -> EngineSwitch:
    """Return the switch of this desk."""
    return EngineSwitch(
        run_folder=config().run_folder,
        state_path=config().state_path,
        start_paused_path=config().start_paused_path,
    )


# -- What was asked for, done beside the page: it goes on where the page is left, and no other part
# -- of the page waits for it, KILL least of all ---------------------------------------------------


class SwitchWork:
    """The one change of the switch that is under way in this dashboard, and how the last ended."""

    def __init__(self) -> None:
        self.what = ""
        """What is under way; empty = nothing."""
        self.began_ns = 0
        self.said: list[str] = []
        """What the last one did, a sentence each."""
        self.failed = False
        self._lock = threading.Lock()

    def begin(self, what: str, steps: Sequence[Callable[[], str]]) -> None:
        """Do the steps on a thread of its own, unless some are under way.

        Each returns what it did. One that raises ends them; what was done before it stays said.
        """
        with self._lock:
            if self.what:
                return
            self.what, self.began_ns, self.said, self.failed = what, now_ns(), [], False
        threading.Thread(target=self._run, args=(steps,), daemon=True).start()

    def _run(self, steps: Sequence[Callable[[], str]]) -> None:
        try:
            for step in steps:
                self.said = [*self.said, step()]
        except (PitbossError, OSError) as error:
            self.said, self.failed = [*self.said, str(error)], True
        finally:
            self.what = ""


WORK = SwitchWork()


def steps_of(
    made: EngineSwitch, what: str, *, paused: bool, owner: str, who: str
) -> list[Callable[[], str]]:
    """Return what a stop, start or restart does; each step stands in the audit of `owner`."""

    def noted(step: str, said: str) -> str:
        return made.noted(step, said, owner=owner, who=who, now_ns=now_ns())

    steps = {
        STOP: lambda: noted(STOP, made.stop(now_ns).sentence()),
        START: lambda: noted(START, made.start(config().journal_path, paused=paused)),
    }
    return list(steps.values()) if what == RESTART else [steps[what]]


# -- The page --------------------------------------------------------------------------------------


@st.fragment(run_every=REFRESH_S)
@guard.part("The switch")
def show_switch() -> None:
    """Draw how the engine is, what may be done with it, and the life of what was asked for."""
    try:
        status = switch().status()
    except NoEngine:
        _without_supervisor()
        return
    seen = ask(engine_seen)
    alive, status_of = health_of(seen, now_ns()).alive, ask(engine_status, engine_id())
    since = moment(status.start_s * SECOND_NS) if status.start_s else NOTHING
    panels.facts(
        {
            "Supervisor says": f"{status.state}: {status.words}",
            "Phase": (seen.state if seen and alive else NOTHING),
            "Heartbeat": f"{age(now_ns() - seen.heartbeat_ns)} old" if seen else "never",
            "Process": str(status.pid or NOTHING),
            "Started": since,
            "Version": seen.version if seen else NOTHING,
            "Turns": (status_of.turns_in_words() if status_of and alive else "") or NOTHING,
        }
    )
    if WORK.what:
        st.info(
            f"**{literal(WORK.what.upper())}** is under way since "
            f"{age(now_ns() - WORK.began_ns)}. A stop takes until everything is proven, 60 s at "
            "most."
        )
        return
    for one in WORK.said:
        (st.error if WORK.failed or "NOT PROVEN" in one else st.success)(literal(one))
    _buttons(status)


def _without_supervisor() -> None:
    alive = health_of(ask(engine_seen), now_ns()).alive
    text = (
        "An engine runs here without a supervisor, as `python -m engine run` starts it: it is "
        "stopped where it was started, with Ctrl-C."
        if alive
        else "NO DESK IS RUNNING HERE: `make run` starts it."
    )
    st.warning(text, icon=":material/power_off:")


def _buttons(status: ProgramStatus) -> None:
    """Draw the first click, and the question of the second one."""
    asked, paused, at_ns = st.session_state.get("engine_asked", ("", False, 0))
    if asked and 0 <= now_ns() - at_ns <= ASKED_NS_MAX:
        _ask(asked, paused=paused)
        return
    st.session_state.setdefault("engine_paused", paused)
    up = status.state in (supervisor.RUNNING, supervisor.STARTING)
    st.toggle(
        "Start with every bot paused",
        key="engine_paused",
        help="In the journal, before the first order; each is resumed on its page.",
    )
    with st.container(horizontal=True):
        for what in (STOP, RESTART) if up else (START,):
            st.button(
                f"{literal(what.capitalize())} the engine",
                key=f"engine_{what}",
                on_click=_asked,
                args=(what,),
            )


def _ask(what: str, *, paused: bool) -> None:
    live = sum(orders.live for orders in ask(snapshot).orders)
    stops = f"Cancels {count(live, 'open order')} of all accounts, proves it and ends the engine"
    starts = "starts it with every bot paused" if paused else "starts it: bots that ran trade on"
    words = {STOP: stops, START: starts, RESTART: f"{stops}, then {starts}"}[what]
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.markdown(
            f"**{literal(what.capitalize())} the engine?** "
            f"{literal(words[:1].upper() + words[1:])}. Inventory is kept, not sold."
        )
        st.button(
            f"CONFIRM {literal(what.upper())}",
            key="engine_confirm",
            type="primary",
            on_click=_begin,
            args=(what, paused),
        )
        st.button("Leave it as it is", key="engine_keep", on_click=_asked, args=("", paused))


def _asked(what: str, paused: bool | None = None) -> None:
    """Remember what the first click asked for; empty = it was declined.

    `paused` None = as the toggle stands. It is kept here, too: the page is drawn again without the
    toggle while it asks, and a toggle that is not drawn forgets how it stood.
    """
    if paused is None:
        paused = bool(st.session_state["engine_paused"])
    st.session_state["engine_asked"] = what, paused, now_ns()


def _begin(what: str, paused: bool) -> None:
    who, made = st.session_state["who"], switch()
    WORK.begin(what, steps_of(made, what, paused=paused, owner=engine_id(), who=who))
    _asked("", paused=False)
    forget()


@st.fragment(run_every=REFRESH_S)
@guard.part("The programs")
def show_programs() -> None:
    """Draw the programs of the desk as supervisor has them, and the engine's phases."""
    st.subheader("Programs of the desk")
    try:
        found = supervisor.programs(socket_in(config().run_folder))
    except FAILURES:
        panels.empty("No supervisor answers.", "`make run` starts the desk with its programs.")
    else:
        rows = [
            {
                "name": name,
                "state": one.state,
                "pid": str(one.pid or NOTHING),
                "words": one.words,
                "start_ns": one.start_s * SECOND_NS or None,
            }
            for name, one in found.items()
        ]
        table(rows, PROGRAMS, key="programs")
    show_phases()


@guard.part("The phases")
def show_phases() -> None:
    """Draw the phases the engine went through, the newest first, each with how long it lasted."""
    st.subheader("Phases")
    found = ask(phases, engine_id())
    if not found:
        panels.empty("No engine has run here yet.", "`make run` starts one.")
        return
    alive = health_of(ask(engine_seen), now_ns()).alive
    ends = [now_ns() if alive and found[0].phase != STOPPED else None]
    for later, one in pairwise(found):
        # What was followed by another process without a stop ended at a moment that is not kept.
        cut = later.phase == INIT and one.phase not in (STOPPED, RECOVERY)
        ends.append(None if cut else later.at_ns)
    rows = [
        {
            "at_ns": one.at_ns,
            "phase": one.phase,
            "reason": one.reason or NOTHING,
            "pid": str(one.pid),
            "lasted": age(max(0, end - one.at_ns)) if end else NOTHING,
        }
        for one, end in zip(found, ends, strict=True)
    ]
    table(rows, PHASES, key="phases")


@st.fragment(run_every=REFRESH_S)
@guard.part("The proof")
def show_proof() -> None:
    """Draw the receipt of the latest stop."""
    found = ask(latest_receipt, engine_id(), STOP_PROOF)
    if found is not None:
        with st.expander(
            f"Proof of the latest stop, {moment(found.reported_ns)}", key="fold_proof"
        ):
            st.html(receipts.html(found))
            panels.links(panels.link("All proofs of stops", "journal", audit=STOP_PROOF))


@guard.part("This page")
def main() -> None:
    """Draw the page."""
    panels.head("Engine", "Asked of supervisor; refreshed every 2 s")
    show_switch()
    show_proof()
    show_programs()
