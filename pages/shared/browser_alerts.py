"""A new alert as a notification and a sound of the browser, where a person wants them.

Each browser keeps its own choice; nothing of it leaves the browser. The bar carries the newest
unseen alerts (`marks`), redrawn each few seconds; of tabs side by side the first one tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import streamlit as st

from engine.domain.alerts import described
from storage.views.frame import AlertSeen

DESKTOP, SOUND = "pbNotifyDesktop", "pbNotifySound"
"""What the choices are called in the browser's own storage."""

TEXT_LENGTH_MAX = 300

_LISTENS = """
<script>
(() => {
  if (window.pbNotifies) { return; }
  window.pbNotifies = true;
  const DESKTOP = "__DESKTOP__", SOUND = "__SOUND__", KNOWN = "pbNotifyKnown", AGAIN_MS = 60000;
  const LOOKED = "pbNotifyLooked", AWAY_MS = 60000;
  const kept = (name) => { try { return localStorage.getItem(name); } catch { return null; } };
  const keep = (name, text) => { try { localStorage.setItem(name, text); } catch { /* full */ } };
  const on = (name) => kept(name) === "1";
  const allowed = () => "Notification" in window && Notification.permission === "granted";
  let audio = null;
  const beep = () => {
    audio = audio || new AudioContext();
    const play = () => [0, 0.25].forEach((after) => {
      const tone = audio.createOscillator(), volume = audio.createGain();
      tone.frequency.value = after ? 660 : 880;
      volume.gain.value = 0.15;
      tone.connect(volume).connect(audio.destination);
      tone.start(audio.currentTime + after);
      tone.stop(audio.currentTime + after + 0.18);
    });
    Promise.resolve(audio.resume()).then(play);
  };
  const show = (title, text, tag) => {
    const shown = new Notification(title, { body: text, tag: tag });
    shown.onclick = () => { window.focus(); location.assign("/alerts"); };
  };
  // What stands when a browser comes after a while is no news; after that, and where a page is
  // loaded anew, what is later than what is known.
  let first = !(Date.now() - Number(kept(LOOKED)) < AWAY_MS);
  const look = () => {
    const found = [...document.querySelectorAll(".pb-newest")];
    if (!document.querySelector(".pb-tick")) { return; }
    keep(LOOKED, String(Date.now()));
    let known = {};
    try { known = JSON.parse(kept(KNOWN)) || {}; } catch { /* it begins anew */ }
    const fresh = found.filter((one) => {
      const at = Number(one.dataset.at), last = known[one.dataset.kind];
      return last === undefined ? true : at > last + AGAIN_MS;
    });
    if (!fresh.length && !first) { return; }
    for (const one of fresh) { known[one.dataset.kind] = Number(one.dataset.at); }
    keep(KNOWN, JSON.stringify(known));
    if (first) { first = false; return; }
    if (on(DESKTOP) && allowed()) {
      for (const one of fresh) { show(one.dataset.title, one.dataset.text, one.dataset.kind); }
    }
    if (on(SOUND)) { beep(); }
  };
  setInterval(look, 1000);

  const say = (text) => {
    for (const one of document.querySelectorAll(".pb-browser-said")) { one.textContent = text; }
  };
  setInterval(() => {
    for (const box of document.querySelectorAll("input[data-pb-choice]")) {
      const name = box.dataset.pbChoice;
      box.checked = on(name) && (name !== DESKTOP || allowed());
    }
  }, 300);
  document.addEventListener("change", async (event) => {
    const box = event.target;
    if (!(box instanceof HTMLInputElement) || !box.dataset.pbChoice) { return; }
    const name = box.dataset.pbChoice, wanted = box.checked;
    keep(name, wanted ? "1" : "0");
    say("");
    if (name === DESKTOP && wanted && !allowed()) {
      const may = "Notification" in window ? await Notification.requestPermission() : "missing";
      if (may !== "granted") {
        keep(name, "0");
        say("This browser refuses notifications: allow them for this address in its settings.");
      }
    }
    if (wanted && on(name)) {
      if (name === SOUND) { beep(); } else { show("Pitboss", "So an alert is shown.", "test"); }
    }
  }, true);
  // A browser plays no sound before a person has clicked into the page.
  document.addEventListener("click", () => { if (on(SOUND) && audio) { audio.resume(); } }, true);
})();
</script>
"""

_CHOICES = f"""
<p class="pb-browser">This browser, while a page of the desk is open:
<label><input type="checkbox" data-pb-choice="{DESKTOP}"> Desktop notification</label>
<label><input type="checkbox" data-pb-choice="{SOUND}"> Sound</label>
<span class="pb-browser-said" role="status"></span></p>
"""


def listen() -> None:
    """Have each page tell what is new, in the browsers that want it."""
    script = _LISTENS.replace("__DESKTOP__", DESKTOP).replace("__SOUND__", SOUND)
    st.html(script, unsafe_allow_javascript=True)


def show_choices() -> None:
    """Draw the two switches of this browser."""
    st.html(_CHOICES)


def marks(newest: Sequence[AlertSeen]) -> str:
    """Return the newest unseen alerts as HTML no person sees: what the script reads."""
    return "".join(
        f'<i hidden class="pb-newest" data-kind="{escape(one.kind)}" '
        f'data-at="{one.last_ns // 1_000_000}" '
        f'data-title="{escape(f"{one.severity.upper()} {described(one.kind).title}")}" '
        f'data-text="{escape(one.text[:TEXT_LENGTH_MAX])}"></i>'
        for one in newest
    )
