"""Risk: the KILL latch, what is used of every limit, and the limits themselves."""

from __future__ import annotations

import streamlit as st

from engine.domain.commands import ReleaseLatch
from engine.domain.settings import AccountSettings
from pages.frame.health import health_of
from pages.kit import commands, confirm, drafts, guard, panels
from pages.kit.clock import now_ns
from pages.kit.data import ask, engine_id
from pages.kit.home import config
from pages.kit.panel import fold
from pages.kit.words import age, micro, moment, utc
from pages.kit.zone import zone
from pages.risk import limits
from pages.shared import receipt as receipts
from pages.shared import scoped_kill
from storage.latch import Latch, read_latch
from storage.live import KILL_PROOF, engine_status, latest_receipt
from storage.settings import in_force
from storage.views import money
from storage.views.frame import snapshot

REASON_LENGTH_MIN = 10
REFRESH_S = 2.0


@st.fragment(run_every=REFRESH_S)
@guard.part("The latch")
def show_latch() -> None:
    """Draw the latch, why nothing is placed where that is so, and the latest proof."""
    seen = ask(snapshot)
    alive = health_of(seen.engine, now_ns()).alive
    st.subheader("KILL latch")
    latch = read_latch(config().kill_path)
    if latch is None:
        panels.note("Not set. KILL is the red button above, Ctrl+Shift+K, or a file named KILL.")
    else:
        show_set(latch, alive=alive)
    status = ask(engine_status, engine_id()) if alive else None
    for account, why in (status.not_placing if status else {}).items():
        st.warning(f"{account} places nothing now: {'; '.join(why)}", icon=":material/block:")
    receipt = ask(latest_receipt, engine_id())
    if receipt is not None:
        with st.expander("Receipt of the latest KILL", expanded=latch is not None):
            st.html(receipts.html(receipt))
            panels.links(panels.link("All receipts", "journal", audit=KILL_PROOF))
    commands.show_life("latch")


def show_set(latch: Latch, *, alive: bool) -> None:
    """Draw who set the latch, and the form that releases it."""
    who = latch.who or "somebody, by hand"
    status = ask(engine_status, engine_id()) if alive else None
    told = status.latch_reason if status else ""
    st.error(
        f"**KILL IS SET** by {who}, {moment(latch.at_ns, zone())} ({utc(latch.at_ns)}). No order "
        "is placed, in any account, until it is released here with a reason."
        + (f" The engine says: {told}." if told else "")
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
                commands.send(ReleaseLatch(reason=reason.strip()), "latch")


@st.fragment(run_every=REFRESH_S)
@guard.part("The use of the limits")
def show_use(account: AccountSettings) -> None:
    """Draw one account's limits with their use as the engine tells it each second."""
    now = now_ns()
    seen = ask(snapshot)
    alive = health_of(seen.engine, now).alive
    uses = ask(money.limit_use, engine_id(), account=account.name)
    found = next((one for one in seen.accounts if one.account == account.name), None)
    if not uses:
        panels.note(
            "No engine has reported this account yet: nothing is known of its use. It is told each "
            "second while an engine trades there."
        )
    else:
        at = max(use["updated_ns"] for use in uses)
        state = "" if alive else "LAST KNOWN, not of now · "
        panels.note(f"{state}told by the engine {age(max(0, now - at))} ago, anew every 2 s")
    currency = found.currency if found else account.currency
    # What is only saved limits nothing yet; an account that is only saved has nothing in force.
    force = ask(in_force, engine_id()).document.accounts.get(account.name, account)
    st.html(limits.bars(force.limits, uses, currency))
    if found is not None and found.day_start_micro is not None:
        panels.note(
            f"Equity at 00:00 UTC was {micro(found.day_start_micro, currency)}, the peak is "
            f"{micro(found.peak_micro, currency)}. Both are kept with the journal: a restart moves "
            "neither, so today's budget survives it."
        )


@guard.part("The form of the limits")
def edit(account: AccountSettings) -> None:
    """Draw the form of an account's limits and its draft."""
    with fold(f"Edit the limits of {account.name}", "fold_limits") as opened:
        base = drafts.newest()
        saved = base.document.accounts[account.name].limits
        patch = limits.form(account.name, saved) if opened else None
        if patch is not None:
            drafts.draft("limits", {"accounts": {account.name: {"limits": patch}}}, base)
    drafts.review("limits")


@guard.part("This page")
def main() -> None:
    """Draw the page."""
    panels.head("Risk", "From the state database and the latch file, at most 1 s old")
    show_latch()
    st.subheader("KILL of a part")
    scoped_kill.show_held()
    with fold("KILL an account, a market or the orders by hand", "fold_kill") as opened:
        if opened:
            scoped_kill.show_kill()
    confirm.show()
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
    name = next(iter(accounts))
    if len(accounts) > 1:
        name = st.selectbox("Account", list(accounts), key="risk_account")
    show_use(accounts[name])
    edit(accounts[name])


main()
