"""The browser's watchdog: a page whose clock stands still is no page to trade by.

Server hung, network cut or signed out: after 6 s the page turns grey, says NO DATA and how old it
is, and offers the one KILL that needs neither a script thread nor SQLite.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import streamlit as st

from pages.kit.home import config

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
    if (!confirm("KILL: set the latch, signal the engine, leave the command. Do it?")) { return; }
    try {
      const patience = AbortSignal.timeout(4000);
      const answer = await fetch("/panic", { method: "POST", signal: patience });
      if (answer.status === 401) {
        alert("SIGNED OUT: nothing was killed. Load again, sign in and KILL there. "
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
  again.textContent = "Load again";
  // Streamlit's message of a lost connection keeps clicks from everything outside it; the window
  // hears them first.
  window.addEventListener("click", (event) => {
    if (event.target === button) { kill(); }
    if (event.target === again) { location.reload(); }
  }, true);
  banner.append(said, button, again);
  document.body.append(banner);
  setInterval(() => {
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
        + " s: nothing on this page is of now" + (text ? " (last " + text + ")" : "")
        + ". The engine may be trading.";
    }
  }, 500);
})();
</script>
"""


def ways_without(home: Path) -> str:
    """Return how to KILL without a server, as it can be typed; `home` is the absolute home.

    supervisord's file asks for DESK_HOME: without it supervisorctl ends with 2 and signals nobody.
    """
    file, folder = shlex.quote(str(home / "KILL")), shlex.quote(str(home))
    return (
        f"In a terminal on the server's machine: touch {file}, or in the folder of the program: "
        f"DESK_HOME={folder} .venv/bin/supervisorctl signal USR1 engine"
    )


def script(home: Path) -> str:
    """Return the watchdog as HTML, with the ways of this home in it."""
    told = json.dumps(ways_without(home)).replace("<", "\\u003c")  # "</script>" ends a script
    return _SCRIPT.replace("STALE_MS", str(STALE_MS)).replace("WAYS_WITHOUT", told)


def start() -> None:
    """Put the watchdog into the sidebar, which is drawn on every page."""
    st.html(script(config().home), unsafe_allow_javascript=True)
