"""Risk: the KILL latch, what is used of every limit, and the limits themselves."""

from __future__ import annotations

import streamlit as st

from engine.domain.commands import ReleaseLatch
from engine.domain.settings import AccountSettings
from pages.parts import commanding, drafts, limits, panels
from pages.parts.clock import now_ns
from pages.parts.data import ask, engine_id
from pages.parts.health import health_of
from pages.parts.home import config
from pages.parts.words import moment
from pages.parts.zone import zone
from storage import views
from storage.dashboard_views import Snapshot, snapshot
from storage.latch import Latch, read_latch

REASON_LENGTH_MIN = 10
RECEIPT = "kill receipt"


def show_latch(seen: Snapshot, *, alive: bool) -> None:
    """Draw the latch, the latest proof, and the way to release it."""
    st.subheader("KILL latch")
    latch = read_latch(config().kill_path)
    if latch is None:
        panels.note("Not set. KILL is the red button above, Ctrl+Shift+K, or a file named KILL.")
    else:
        show_set(latch, alive=alive)
    told = seen.engine.detail.get("receipt") if seen.engine else None
    receipts = [row for row in ask(views.audit, engine_id()) if row["what"] == RECEIPT]
    if told and alive:
        st.markdown(f"Proof of the latest KILL: **{told}**")
    if receipts:
        panels.links(panels.link("Receipts of KILL", "journal", audit=RECEIPT))
    commanding.show_life("latch")


def show_set(latch: Latch, *, alive: bool) -> None:
    """Draw who set the latch, and the form that releases it."""
    who = latch.who or "somebody, by hand"
    st.error(
        f"**KILL IS SET** by {who}, {moment(latch.at_ns, zone())}. No order is placed, in any "
        "account, until it is released here with a reason."
    )
    if not alive:
        st.caption(
            ":material/power_off: No engine is running. The latch is released by an engine alone, "
            "after it has proven that nothing of ours is open: start one, then release."
        )
        return
    with st.form("release"):
        reason = st.text_input("Why is it safe to place orders again?")
        if st.form_submit_button("Release the latch"):
            if len(reason.strip()) < REASON_LENGTH_MIN:
                st.error(f"Give a reason of at least {REASON_LENGTH_MIN} characters.")
            else:
                commanding.send(ReleaseLatch(reason=reason.strip()), "latch")


def show_account(account: AccountSettings, seen: Snapshot, *, alive: bool) -> None:
    """Draw one account's limits with their use, and the form below."""
    found = next((one for one in seen.accounts if one.account == account.name), None)
    open_orders = None
    if found is not None:
        working = ask(views.orders, engine_id(), mode=found.mode, open_only=True)
        open_orders = sum(row["account"] == account.name for row in working)
    st.html(limits.bars(account.limits, found, open_orders))
    if found is None:
        panels.note("No engine has reported this account yet: nothing is known of its use.")
    elif found.equity_ns is None:
        panels.note("The engine has not reported equity of this account yet.")
    else:
        state = "reported" if alive else "LAST KNOWN, not of now: reported"
        panels.note(f"Use {state} {moment(found.equity_ns, zone())}")
    with st.expander(f"Edit the limits of {account.name}"):
        base = drafts.newest()
        patch = limits.form(account.name, base.document.accounts[account.name].limits)
        if patch is not None:
            drafts.draft("limits", {"accounts": {account.name: {"limits": patch}}}, base)
    drafts.review("limits")


def main() -> None:
    """Draw the page."""
    seen = ask(snapshot)
    alive = health_of(seen.engine, now_ns()).alive
    panels.head("Risk", "From the state database and the latch file, at most 1 s old")
    show_latch(seen, alive=alive)
    st.subheader("Limits")
    drafts.standing()
    accounts = drafts.newest().document.accounts
    if not accounts:
        panels.empty(
            "There is no account yet.",
            "Limits belong to an account. A paper account is added under Settings.",
        )
        panels.links(panels.link("Settings: add a paper account", "settings"))
        return
    name = st.selectbox("Account", list(accounts), key="risk_account")
    show_account(accounts[name], seen, alive=alive)


main()
