"""The frame around every page: sign-in once more, status bar, navigation, the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from pages import found_pages
from pages.frame import bar, kill, look, server
from pages.frame.session import COOKIE, signed_in
from pages.kit import guard, links, words
from pages.kit.home import config
from pages.shared import browser_alerts
from storage.database import prepare_kinds

_REVIVE = """
<script>
(() => {
  if (window.pbRevival) { return; }
  window.pbRevival = true;
  const STORE = "pbDrafts", LOADED = "pbRevived", KEPT_MS = 1800000, STALE_MS = 8000;
  const field = (target) => target instanceof HTMLElement
    && target.matches("input[type=text], input[type=number], input:not([type]), textarea")
    && target.closest(".stMain") && !target.closest("[role=dialog], [data-baseweb=select]")
    && target.closest("[data-testid=stTextInput],[data-testid=stNumberInput],"
      + "[data-testid=stTextArea]");
  const named = (box) => {
    const holder = box.closest("[class*=st-key-]");
    const key = holder ? [...holder.classList].find((one) => one.startsWith("st-key-")) : "";
    const form = box.closest("[data-testid=stForm]");
    const all = [...document.querySelectorAll(".stMain input, .stMain textarea")]
      .filter((one) => one.getAttribute("aria-label") === box.getAttribute("aria-label"));
    return [key, form ? "form" : "", box.getAttribute("aria-label"), all.indexOf(box)].join("|");
  };
  const read = () => {
    try { return JSON.parse(sessionStorage.getItem(STORE)) || {}; } catch { return {}; }
  };
  const write = (drafts) => sessionStorage.setItem(STORE, JSON.stringify(drafts));
  const forget = (boxes) => {
    const drafts = read();
    for (const box of boxes) { delete drafts[location.pathname + "|" + named(box)]; }
    write(drafts);
  };
  document.addEventListener("input", (event) => {
    if (!event.isTrusted || !field(event.target)) { return; }
    const drafts = read();
    drafts[location.pathname + "|" + named(event.target)] = [event.target.value, Date.now()];
    write(drafts);
  }, true);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && field(event.target)) { forget([event.target]); }
  }, true);
  document.addEventListener("click", (event) => {
    const button = event.target instanceof Element
      && event.target.closest("[data-testid=stFormSubmitButton] button");
    const form = button && button.closest("[data-testid=stForm]");
    if (form) { forget(form.querySelectorAll("input, textarea")); }
  }, true);

  const restore = () => {
    const drafts = read(), now = Date.now();
    for (const box of document.querySelectorAll(".stMain input, .stMain textarea")) {
      const kept = field(box) && drafts[location.pathname + "|" + named(box)];
      if (!kept || now - kept[1] > KEPT_MS || box.value === kept[0] || box.pbRestored) { continue; }
      box.pbRestored = true;
      const proto = box.tagName === "TEXTAREA" ? HTMLTextAreaElement : HTMLInputElement;
      Object.getOwnPropertyDescriptor(proto.prototype, "value").set.call(box, kept[0]);
      box.dispatchEvent(new Event("input", { bubbles: true }));
    }
  };
  const revived = Number(sessionStorage.getItem(LOADED) || 0);
  if (Date.now() - revived < KEPT_MS) {
    const until = Date.now() + 60000;
    const again = setInterval(() => {
      restore();
      if (Date.now() > until) { clearInterval(again); sessionStorage.removeItem(LOADED); }
    }, 300);
  }

  const reload = (ended) => {
    // The sign-in says why it is shown; a sign-out here has taken the cookie of the session. One
    // that stood when it was asked for may have ended before the page is asked for.
    document.cookie = "pitboss_ended=1; path=/; max-age=" + (ended ? 60 : 10) + "; samesite=lax";
    sessionStorage.setItem(LOADED, String(Date.now()));
    location.reload();
  };
  let text = null, since = Date.now(), pause = 0, asked = 0, beat = Date.now();
  setInterval(async () => {
    // A tab behind others, or a machine that slept, draws seldom and is not dead.
    if (document.hidden || Date.now() - beat > 4000) { since = Date.now(); }
    beat = Date.now();
    const tick = document.querySelector(".pb-tick");
    const now = tick ? tick.textContent : null;
    if (now !== null && now !== text) { text = now; since = Date.now(); }
    const missed = [...document.querySelectorAll("[role=dialog], .stException")]
      .some((one) => one.textContent.includes("ForwardMsg MISS"));
    const late = Date.now() - since;
    if ((!missed && late < STALE_MS) || Date.now() - asked < pause) { return; }
    asked = Date.now();
    try {
      const answer = await fetch("/sign-in", {
        headers: { accept: "text/html" }, redirect: "manual", signal: AbortSignal.timeout(4000),
      });
      // Inside, the sign-in leads on (an opaque redirect); outside it is shown, with 401.
      const outside = answer.status === 401;
      const last = Number(sessionStorage.getItem(LOADED) || 0);
      const due = Date.now() - last > 30000;
      if (outside || ((answer.type === "opaqueredirect") && due && (missed || late > STALE_MS))) {
        reload(outside);
        return;
      }
    } catch { /* no server answers: it is asked again */ }
    pause = Math.min(15000, pause * 2 || 2000);
  }, 1000);
})();
</script>
"""


def _revive_tabs() -> None:
    """Have a tab that cannot go on load itself anew, and bring back what was typed in it.

    Dead are: a tab whose server forgot what it holds ("Cached ForwardMsg MISS"), a socket that
    stays cut, and a session that ended elsewhere (a new password, a sign-out): then the server
    shows the sign-in with a sentence. Where the server does not answer, the tab waits for it.

    What is typed into a text or a number is kept in the tab's own storage until it was sent, for
    half an hour. Passwords and what a dialog asks for are not kept; nothing that comes back is
    sent.
    """
    st.html(_REVIVE, unsafe_allow_javascript=True)


ALERTS = "alerts"
"""The page whose name in the menu says how many wait to be seen."""

HERE = Path(__file__).resolve().parents[1]


def _navigation() -> dict[str, list[Any]]:
    """Return the pages by group; the first one also answers to its own name."""
    made: dict[str, list[Any]] = {}
    pages = found_pages()
    waiting = bar.unseen_words(bar.unseen_now())
    for one in pages:
        home = one is pages[0]
        entry = st.Page(
            one.draw,
            title=one.page.title + (waiting if one.name == ALERTS else ""),
            icon=one.page.icon,
            # The first page answers at the root alone; its own name is the hidden one's below.
            url_path="home" if home else one.name,
            default=home,
        )
        made.setdefault(one.page.group, []).append(entry)
    first = pages[0]
    hidden = st.Page(first.draw, title=first.page.title, url_path=first.name, visibility="hidden")
    made[first.page.group].append(hidden)
    return made


def main() -> None:
    st.set_page_config(
        page_title="Pitboss",
        page_icon=HERE / "frame" / "static" / "icon.png",
        layout="wide",
        initial_sidebar_state="auto",
    )
    # The gate in front has asked already. Asked again, so that a start without it shows nothing.
    who = signed_in(config(), st.context.cookies.get(COOKIE))
    if who is None:
        st.error("Sign in first: start the dashboard with `streamlit run app.py`.")
        st.stop()
    st.session_state["who"] = who
    look.apply()
    navigation = _navigation()
    prepare_kinds()  # of all pages, before two sessions read the same for the first time
    page = st.navigation(navigation, expanded=True)
    with st.sidebar:
        bar.choose_mode()
        st.toggle("Exact UTC in tables", key=words.EXACT_UTC)
        st.html(f'<p class="pb-source">Signed in as {who} · <a href="/sign-out">sign out</a></p>')
        kill.start_watchdog()
        _revive_tabs()
        browser_alerts.listen()
        links.start()
    bar.show()
    guard.part("This page")(page.run)()
    server.settle()


main()
