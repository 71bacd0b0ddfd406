"""Links between pages without loading the browser's page again.

Streamlit's own navigation does this by script; a link in HTML would load everything anew, which
takes ten times as long and forgets the mode that is shown. The script does what the browser's back
button does: it changes the address and says so. Without it a link is a link.
"""

from __future__ import annotations

import streamlit as st

_SCRIPT = """
<script>
(() => {
  if (window.pbInPlace) { return; }
  window.pbInPlace = true;
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button !== 0) { return; }
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) { return; }
    const link = event.target.closest?.('a[href^="/"]');
    if (!link || link.pathname === "/sign-out") { return; }
    event.preventDefault();
    history.pushState({}, "", link.href);
    window.dispatchEvent(new PopStateEvent("popstate"));
    document.querySelector(".stMain")?.scrollTo(0, 0);
  });
})();
</script>
"""


def start() -> None:
    """Put the script into the sidebar, which is drawn on every page."""
    st.html(_SCRIPT, unsafe_allow_javascript=True)
