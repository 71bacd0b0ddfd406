"""The KILL latch, the latest receipt, each limit with its use.

A scoped KILL covers one account, one bot or one market; the rest goes on.

Changes: limits, scoped KILL, release of a latch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import streamlit as st

from engine.domain.commands import ReleaseLatch
from engine.domain.decisions import Unit
from engine.domain.limits import LIMITS, LimitGroup, LimitRow
from engine.domain.plain import PlainDict
from engine.domain.settings import AccountSettings, Limit, RiskLimits
from pages import Page
from pages.kit import commands, drafts, guard, panels
from pages.kit.data import ask, engine_id
from pages.kit.forms import reason_asked
from pages.kit.home import config, now_ns
from pages.kit.markdown import literal
from pages.kit.names import market
from pages.kit.panels import panel
from pages.kit.words import SECOND_NS, age, micro, moment, percent, utc
from pages.shared import receipt as receipts
from pages.shared import scoped_kill
from storage.commands import KILL_PROOF, latest_receipt
from storage.latch import Latch, read_latch
from storage.live import engine_status
from storage.settings import in_force
from storage.views import Row, money
from storage.views.frame import snapshot

PAGE = Page("Risk", ":material/shield:", "Guard", 0)

REFRESH_S = 2.0


@st.fragment(run_every=REFRESH_S)
@guard.part("The latch")
def show_latch() -> None:
    """Draw the latch, why nothing is placed where that is so, and the latest proof."""
    alive = commands.engine_runs()
    st.subheader("KILL latch")
    latch = read_latch(config().kill_path)
    if latch is None:
        panels.note("Not set. KILL is the red button above, Ctrl+Shift+K, or a file named KILL.")
    else:
        show_set(latch, alive=alive)
    status = ask(engine_status, engine_id()) if alive else None
    for account, why in (status.not_placing if status else {}).items():
        st.warning(
            f"{literal(account)} places nothing now: {literal('; '.join(why))}",
            icon=":material/block:",
        )
    receipt = ask(latest_receipt, engine_id())
    if receipt is not None:
        with st.expander(
            "Receipt of the latest KILL", expanded=latch is not None, key="fold_receipt"
        ):
            st.html(receipts.html(receipt))
            panels.links(panels.link("All receipts", "journal", audit=KILL_PROOF))
    commands.show_progress("latch")


def show_set(latch: Latch, *, alive: bool) -> None:
    who = latch.who or "somebody, by hand"
    status = ask(engine_status, engine_id()) if alive else None
    text = status.latch_reason if status else ""
    st.error(
        f"**KILL IS SET** by {literal(who)}, {moment(latch.at_ns)} ({utc(latch.at_ns)}). No order "
        "is placed, in any account, until it is released here with a reason."
        + (f" The engine reports: {literal(text)}." if text else "")
    )
    if not alive:
        st.caption(
            ":material/power_off: No engine is running. Only an engine can release the latch, "
            "after it has proven that nothing of ours is open: start one, then release."
        )
        return
    reason = reason_asked("release", "Why is it safe to place orders again?", "Release the latch")
    if reason:
        commands.send(ReleaseLatch(reason=reason), "latch")


@st.fragment(run_every=REFRESH_S)
@guard.part("Limit use")
def show_use(account: AccountSettings) -> None:
    """Draw one account's limits with their use as the engine tells it each second."""
    now = now_ns()
    alive = commands.engine_runs()
    uses = ask(money.limit_use, engine_id(), account=account.name)
    found = next((one for one in ask(snapshot).accounts if one.account == account.name), None)
    if not uses:
        panels.note(
            "No engine has reported this account yet, so limit use is not known. It is reported "
            "each second while an engine trades there."
        )
    else:
        at = max(use["updated_ns"] for use in uses)
        state = "" if alive else "LAST KNOWN, not current · "
        mode = account.mode.upper()
        panels.note(
            f"{mode} · {state}engine status {age(max(0, now - at))} old, refreshed every 2 s"
        )
    currency = found.currency if found else account.currency
    # What is only saved limits nothing yet; an account that is only saved has nothing in force.
    force = ask(in_force, engine_id()).document.accounts.get(account.name, account)
    st.html(bars(force.limits, uses, currency))
    if found is not None and found.day_start_micro is not None:
        panels.note(
            f"Equity at 00:00 UTC was {micro(found.day_start_micro, currency)}, the peak is "
            f"{micro(found.peak_micro, currency)}. Both are kept with the journal: a restart "
            "changes neither, so today's budget survives it."
        )


@guard.part("The limits form")
def edit(account: AccountSettings) -> None:
    """Draw the form of an account's limits and its draft."""
    with panel(f"Edit the limits of {literal(account.name)}", "fold_limits") as opened:
        base = drafts.newest()
        saved = base.document.accounts[account.name].limits
        patch = form(account.name, saved) if opened else None
        if patch is not None:
            drafts.draft("limits", {"accounts": {account.name: {"limits": patch}}}, base)
    drafts.review("limits")


@guard.part("This page")
def main() -> None:
    """Draw the page."""
    panels.head("Risk", "From the state database and the latch file, a few seconds old")
    show_latch()
    st.subheader("Scoped kills and stopped accounts")
    scoped_kill.show_held()
    with panel("KILL one account, one market or the manual orders", "fold_kill") as opened:
        if opened:
            scoped_kill.show_kill()
    commands.show_question()
    st.subheader("Limits")
    drafts.show_version()
    accounts = drafts.newest().document.accounts
    if not accounts:
        panels.empty(
            "There is no account yet.",
            "Limits belong to an account. Add a paper account under Settings.",
        )
        panels.links(panels.link("Settings: add a paper account", "settings"))
        return
    name = next(iter(accounts))
    if len(accounts) > 1:
        name = st.selectbox("Account", list(accounts), key="risk_account")
    show_use(accounts[name])
    edit(accounts[name])


# -- Limits of an account: how much of each is used by whom, and the form that edits them --

SECOND_MS, BPS_PERCENT = 1_000, 100
PERCENT, AMOUNT = "% of day start", "amount"
NEAR = 0.7
SUBJECTS_MAX = 3


def bars(limits: RiskLimits, uses: Sequence[Row], currency: str) -> str:
    """Return the limits with a bar, a share and a word each; what is not reported says so."""
    parts = []
    for group in LimitGroup:
        rows = "".join(
            _rows(row, limits, [use for use in uses if use["name"] == row.name])
            for row in LIMITS.values()
            if row.group is group
        )
        parts.append(f'<tr class="pb-group"><th colspan="5">{escape(group)}</th></tr>{rows}')
    head = (
        "<tr><th>Limit</th><th>Set to</th><th>Used, "
        f"{escape(currency)}</th><th></th><th>Status</th></tr>"
    )
    return f'<table class="pb-facts pb-limits">{head}{"".join(parts)}</table>'


def _rows(row: LimitRow, limits: RiskLimits, uses: Sequence[Row]) -> str:
    label, value = row.title, escape(shown(row.name, getattr(limits, row.name)))
    if not uses:
        why = "checked per order" if row.per_order else "not in use now"
        return (
            f"<tr><th>{escape(label)}</th><td>{value}</td><td class='pb-quiet'>"
            f"{why}</td><td></td><td></td></tr>"
        )
    first, *others = uses[:SUBJECTS_MAX]
    more = "".join(_use("", "", use) for use in others if use["used"])
    return _use(label, value, first) + more


def _use(label: str, value: str, use: Row) -> str:
    share = use["used"] / use["limit_value"] if use["limit_value"] else 1.0 if use["used"] else 0.0
    tone, word = (
        ("bad", "AT THE LIMIT")
        if share >= 1
        else ("warn", "near")
        if share >= NEAR
        else (
            "ok",
            "within",
        )
    )
    subject = f" · {market(use['subject'])}" if use["subject"] else ""
    text = f"{_amount(use['used'], use)} of {_amount(use['limit_value'], use)}"
    if use["unit"] == Unit.NS:
        text = f"{use['used'] / SECOND_NS:,.1f} s of {seconds(use['limit_value'] / SECOND_NS)}"
    share_said = percent(use["used"], use["limit_value"])
    if use.get("unknown"):
        tone, word, share_said = "bad", "unknown", ""
        text = f"unknown: {use['unknown']}; {text} of this account"
    name = f"{label}{subject}" if label else subject.removeprefix(" · ")
    return (
        f'<tr class="pb-use {tone}"><th class="{"" if label else "pb-sub"}">{escape(name)}</th>'
        f"<td>{value}</td><td>{escape(text)}</td>"
        f'<td><u><s style="width:{100 * min(1.0, share):.0f}%"></s></u></td>'
        f'<td class="pb-{tone}"><b>{share_said} {word}</b></td></tr>'
    )


def _amount(value: int, use: Row) -> str:
    return micro(value) if use["unit"] == Unit.MICRO else f"{value:,}"


def shown(name: str, value: Limit | int) -> str:
    """Return the limit `name` as a person reads it, an age in the seconds its form takes."""
    if not isinstance(value, Limit):
        unit = LIMITS[name].unit
        if unit is Unit.BPS:
            return f"{value / BPS_PERCENT:g} %"
        return seconds(value / SECOND_MS) if unit is Unit.NS else f"{value:,}"
    return f"{value.absolute:,g}" if value.percent is None else f"{value.percent:g} %"


def seconds(value: float) -> str:
    """Return a limit in seconds to the millisecond: 600 s; never rounded to a larger unit."""
    return f"{value:,.3f}".rstrip("0").rstrip(".") + " s"


def form(account: str, limits: RiskLimits) -> Mapping[str, object] | None:
    """Draw the form; gives the limits as a merge patch when it is sent, else None."""
    patch: PlainDict = {}
    with st.form(f"limits_{account}", border=False):
        st.caption("% is of equity at 00:00 UTC. Nothing changes until the diff is saved.")
        for group in LimitGroup:
            # "One bot" alone is no limit: what of it is limited stands above it, as in the table.
            st.markdown(f"**{literal(group)}**")
            for row in LIMITS.values():
                if row.group is group:
                    value, key = getattr(limits, row.name), f"limit_{account}_{row.name}"
                    patch[row.name] = _field(row.title, row.name, value, key)
        sent = st.form_submit_button("Show what changes")
    return patch if sent else None


def _field(label: str, name: str, value: Limit | int, key: str) -> dict[str, float | None] | int:
    if isinstance(value, Limit):
        return _limit(label, value, key)
    if unit := TYPED.get(LIMITS[name].unit):
        return _scaled(f"{label}, {unit[0]}", value, key, unit[1])
    return int(st.number_input(label, value=value, step=1, key=key))


TYPED = {Unit.NS: ("seconds", SECOND_MS), Unit.BPS: ("% of the mark", BPS_PERCENT)}
"""How a limit of a unit is typed, and how many of what is saved that is: ms and basis points."""


def _scaled(label: str, value: int, key: str, factor: int) -> int:
    """Return what was typed in a larger unit, in whole ones of what is saved."""
    typed = st.number_input(label, value=value / factor, step=1.0, key=key, format="%g")
    return round(float(typed) * factor)


def _limit(label: str, value: Limit, key: str) -> dict[str, float | None]:
    # No bounds in the widget: it would turn -5 into 5; `storage.settings` refuses it with words.
    left, right = st.columns([2, 1], vertical_alignment="bottom")
    number = value.absolute if value.percent is None else value.percent
    typed = left.number_input(label, value=float(number or 0), key=key, format="%g")
    unit = right.selectbox(
        "Unit",
        (PERCENT, AMOUNT),
        index=int(value.percent is None),
        key=f"{key}_unit",
        label_visibility="collapsed",
    )
    if unit == PERCENT:
        return {"percent": typed, "absolute": None}
    return {"absolute": typed, "percent": None}
