"""KILL from the dashboard: the latch first, then the signal, then the command row.

Nothing here needs SQLite before the last step, and each step says what it did: a KILL that could
only do half must not look like a whole one.
"""

from __future__ import annotations

import json
import shlex
import uuid
from pathlib import Path

import msgspec
import streamlit as st

from engine.config import Config
from engine.domain.commands import Kill
from engine.errors import BadInput, PitbossError, StorageError
from pages.kit import guard
from pages.kit.commands import state_of
from pages.kit.data import forget, fresh
from pages.kit.home import config
from pages.kit.markdown import literal
from pages.kit.words import count, moment
from storage import supervisor
from storage.commands import leave
from storage.database import connect_writer, storage_errors
from storage.latch import set_latch
from storage.supervisor import FAILURES, SupervisorFault, socket_in
from storage.views.frame import SECOND_NS, FrameSnapshot, engine_of

BUSY_MS = 500
"""How long the command row waits for a locked database; latch and signal are out by then."""


class KillStep(msgspec.Struct, frozen=True):
    """One step of a KILL: `done` False = it had no effect, and `text` says why."""

    name: str
    done: bool
    text: str


class KillResponse(msgspec.Struct, frozen=True, kw_only=True):
    """What a KILL did here. What the engine then did is in the answer to `command`."""

    at_ns: int
    who: str
    command: str
    steps: tuple[KillStep, ...]


def kill(config: Config, who: str, now_ns: int) -> KillResponse:
    """Set the latch, signal the engine, leave the command. Never raises: each step is reported."""
    command = uuid.uuid4().hex
    steps = (_latch(config, who, now_ns), _signal(config), _command(config, command, who, now_ns))
    return KillResponse(at_ns=now_ns, who=who, command=command, steps=steps)


def _latch(config: Config, who: str, now_ns: int) -> KillStep:
    path = config.kill_path
    try:
        new = set_latch(path, who, now_ns)
    except OSError as error:
        return KillStep("latch", done=False, text=f"NOT SET, the disk refused {path}: {error}")
    text = "is set, on disk" if new else "was already set"
    return KillStep("latch", done=True, text=f"{path} {text}: no order is placed while it is there")


def _signal(config: Config) -> KillStep:
    socket = socket_in(config.run_folder)
    if not socket.exists():
        text = f"NOT SENT: no supervisor runs here ({socket} is missing)"
        return KillStep("signal", done=False, text=text)
    try:
        supervisor.call(socket, "signalProcess", "engine", "USR1")
    except SupervisorFault as fault:
        if fault.faultCode != supervisor.NOT_RUNNING:
            return KillStep("signal", done=False, text=f"NOT SENT: {fault.faultString}")
        return _start_kill(socket)
    except FAILURES as error:
        return KillStep("signal", done=False, text=f"NOT SENT, supervisor did not answer: {error}")
    return KillStep("signal", done=True, text="USR1 sent to the engine")


def _start_kill(socket: Path) -> KillStep:
    """Start the program that recovers with the latch set, cancels, proves and exits."""
    try:
        supervisor.call(socket, "startProcess", "kill", False)
    except FAILURES as error:
        text = f"NOT SENT: the engine is not running and the program kill did not start: {error}"
        return KillStep("signal", done=False, text=text)
    return KillStep(
        "signal", done=True, text="the engine is not running; the program kill was started"
    )


def _command(config: Config, command: str, who: str, now_ns: int) -> KillStep:
    if not config.state_path.is_file():
        text = f"NOT QUEUED: {config.state_path} does not exist"
        return KillStep("command", done=False, text=text)
    try:
        with storage_errors(config.state_path):
            connection = connect_writer(config.state_path, busy_ms=BUSY_MS)
            try:
                engine_id = engine_of(connection)
                leave(
                    connection,
                    engine_id=engine_id,
                    id=command,
                    command=Kill(),
                    who=who,
                    now_ns=now_ns,
                )
            finally:
                connection.close()
    except (StorageError, BadInput) as error:
        return KillStep("command", done=False, text=f"NOT QUEUED: {error}")
    return KillStep("command", done=True, text=f"queued for engine {engine_id}")


# -- KILL in the status bar: the first click says exactly what the second one will do --

ARMED_NS_MAX = 15 * SECOND_NS
"""An armed KILL without a confirmation disarms itself."""


def kill_button(now: int) -> None:
    if st.button("KILL", key="killbutton", shortcut="Ctrl+Shift+K"):
        st.session_state["kill_armed_ns"] = now
        st.session_state.pop("kill_receipt", None)
        st.rerun(scope="fragment")


def armed(now: int) -> bool:
    """Say whether the question of KILL stands on the page."""
    at = st.session_state.get("kill_armed_ns")
    return at is not None and 0 <= now - at <= ARMED_NS_MAX


@guard.part("KILL and its receipt")
def show_kill(seen: FrameSnapshot, *, alive: bool, now: int) -> None:
    """Draw the question while armed, the receipt after the second click."""
    if armed(now):
        _ask(seen, alive=alive, now=now)
    receipt = st.session_state.get("kill_receipt")
    if receipt is not None:
        _receipt(receipt, alive=alive)


def _ask(seen: FrameSnapshot, *, alive: bool, now: int) -> None:
    live = sum(orders.live for orders in seen.orders)
    if alive:
        then = f"the engine cancels {count(live, 'open order')} of all accounts and proves it"
    else:
        then = (
            "**no engine is running**, so this cancels nothing: the latch holds at the next start, "
            "which first cancels and proves"
        )
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.markdown(
            f"**KILL everything?** No new order is placed in any account; {then}. Inventory is not "
            "sold."
        )
        if st.button("CONFIRM KILL", key="killconfirm"):
            st.session_state["kill_receipt"] = kill(config(), st.session_state["who"], now)
            st.session_state.pop("kill_armed_ns")
            forget()
            st.rerun(scope="fragment")
        if st.button("Keep trading", key="killkeep"):
            st.session_state.pop("kill_armed_ns")
            st.rerun(scope="fragment")


def _receipt(receipt: KillResponse, *, alive: bool) -> None:
    with st.container(border=True):
        st.markdown(f"**KILL by {literal(receipt.who)} at {moment(receipt.at_ns)}**")
        lines = [
            f"- {'done' if s.done else '**not done**'} · {literal(s.name)}: {literal(s.text)}"
            for s in receipt.steps
        ]
        st.markdown("\n".join(lines))
        try:
            state = state_of(fresh(engine_of), receipt.command)
        except PitbossError as error:
            state = f"the command's state cannot be read: {literal(error)}"
        st.markdown(f"Command: {state}")
        if not alive:
            st.markdown(
                "No engine is running: **nothing was cancelled and nothing is proven**. Orders "
                "that rest at a venue stay until an engine starts or you cancel them there."
            )
        if st.button("Close", key="killclose"):
            st.session_state.pop("kill_receipt")
            st.rerun(scope="fragment")


# -- The browser's watchdog: a page whose clock stands still is no page to trade by ----------------
# Server hung, network cut or signed out: after 6 s the page turns grey, says NO DATA and how old it
# is, and offers the one KILL that needs neither a script thread nor SQLite.

STALE_MS = 6_000

_SCRIPT = """
<script>
(() => {
  if (window.pbWatchdog) { return; }
  window.pbWatchdog = true;
  let text = null, since = Date.now();
  const banner = document.createElement("div");
  banner.id = "pb-nodata";
  banner.setAttribute("role", "alert");
  const said = document.createElement("span");
  const button = document.createElement("button");
  button.textContent = "KILL without this page";
  const kill = async () => {
    if (!confirm("KILL: set the latch, signal the engine and queue the command?")) { return; }
    try {
      const patience = AbortSignal.timeout(4000);
      const answer = await fetch("/panic", { method: "POST", signal: patience });
      if (answer.status === 401) {
        alert("SIGNED OUT: nothing was killed. Reload, sign in and KILL there. "
          + WAYS_WITHOUT);
        return;
      }
      const told = await answer.json();
      alert(told.steps ? told.steps.map((s) => s.name + ": " + s.text).join("\\n") : told.error);
    } catch (error) {
      alert("NO ANSWER: do not count on this KILL. " + WAYS_WITHOUT);
    }
  };
  const again = document.createElement("button");
  again.textContent = "Reload";
  // Streamlit's message of a lost connection keeps clicks from everything outside it; the window
  // receives them first.
  window.addEventListener("click", (event) => {
    if (event.target === button) { kill(); }
    if (event.target === again) { location.reload(); }
  }, true);
  // Who asks for KILL confirms it with the next key: the question takes the focus when it is drawn.
  let armed = 0;
  const arm = () => { armed = Date.now(); };
  // Streamlit may lose a key that comes while it draws: until the question stands, the button is
  // pressed again. Who closed the question had it: `armed` is 0 from then on.
  const insist = (times) => setTimeout(() => {
    if (armed === 0 || times === 0) { return; }
    const ask = document.querySelector(".st-key-killbutton button");
    if (ask && !document.querySelector(".st-key-killconfirm button")) { ask.click(); }
    insist(times - 1);
  }, 2000);
  window.addEventListener("keydown", (event) => {
    if (event.repeat || !event.ctrlKey || !event.shiftKey) { return; }
    if (event.key.toLowerCase() === "k") { arm(); insist(4); }
  }, true);
  window.addEventListener("click", (event) => {
    if (event.target instanceof Element && event.target.closest(".st-key-killbutton")) { arm(); }
  }, true);
  new MutationObserver(() => {
    if (Date.now() - armed > 10000) { return; }
    const confirm = document.querySelector(".st-key-killconfirm button");
    if (confirm) { armed = 0; confirm.focus(); }
  }).observe(document.body, { childList: true, subtree: true });
  banner.append(said, button, again);
  document.body.append(banner);
  setInterval(() => {
    const bar = document.querySelector(".st-key-statusbar");
    if (bar) {  // what floats begins where the bar ends, however many lines it has
      const end = Math.ceil(bar.getBoundingClientRect().bottom) + "px";
      document.documentElement.style.setProperty("--pb-bar-end", end);
    }
    const tick = document.querySelector(".pb-tick");
    const now = tick ? tick.textContent : null;
    if (now !== null && now !== text) { text = now; since = Date.now(); }
    const age = Date.now() - since;
    const stale = age > STALE_MS;
    document.body.classList.toggle("pb-stale", stale);
    // Streamlit's own message of a lost connection makes everything else inert: not this.
    banner.inert = false;
    banner.removeAttribute("aria-hidden");
    if (stale) {
      said.textContent = "NO DATA for " + Math.round(age / 1000)
        + " s: nothing on this page is current" + (text ? " (last " + text + ")" : "")
        + ". The engine may be trading.";
    }
  }, 500);
})();
</script>
"""


def ways_without(home: Path) -> str:
    """Return how to KILL without a server, as it can be typed; `home` is the absolute home.

    supervisord's file asks for DESK_HOME: without it supervisorctl ends with 2 and sends no signal.
    """
    file, folder = shlex.quote(str(home / "KILL")), shlex.quote(str(home))
    return (
        f"In a terminal on the server: touch {file}, or in the program's folder: "
        f"DESK_HOME={folder} .venv/bin/supervisorctl signal USR1 engine"
    )


def script(home: Path) -> str:
    ways = json.dumps(ways_without(home)).replace("<", "\\u003c")  # "</script>" ends a script
    return _SCRIPT.replace("STALE_MS", str(STALE_MS)).replace("WAYS_WITHOUT", ways)


def start_watchdog() -> None:
    st.html(script(config().home), unsafe_allow_javascript=True)
