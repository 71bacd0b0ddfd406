"""Accounts, what a live one needs, markets, theme and time zone.

Theme and time zone are of this browser alone.

Changes: accounts, keys, market sync, password.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import streamlit as st
from pydantic import ValidationError

from engine.domain.catalog import VenueEntry
from engine.domain.commands import ApplySettings, SyncMarkets
from engine.domain.instruments import Mode
from engine.domain.settings import AccountSettings
from engine.domain.telemetry import Capital
from engine.errors import PitbossError
from pages import Page
from pages.frame import look
from pages.kit import commands, drafts, forms, guard, links, panels, words
from pages.kit.data import ask, engine_id
from pages.kit.home import config, now_ns, this_minute
from pages.kit.markdown import literal
from pages.kit.panels import panel
from pages.kit.tables import Col, ColKind, columns_of, table
from pages.kit.words import SECOND_NS, count
from pages.settings import live_accounts
from storage.catalog import venues
from storage.database import writing
from storage.live import account_report
from storage.settings import Saved, SettingsVersion, in_force
from storage.users import change_password
from storage.views import money
from storage.views.frame import live_orders_in, open_markets, snapshot
from storage.views.money import Phase

PAGE = Page("Settings", ":material/settings:", "Desk", 0)

YEAR_S = 31_536_000
_SET = """<script>document.cookie = NAME + "=" + encodeURIComponent(VALUE)
 + "; path=/; max-age=AGE; SameSite=Lax"; location.reload();</script>"""


def keep_in_browser(name: str, value: str) -> None:
    """Set a cookie that holds a choice of this browser, and load the page again."""
    script = _SET.replace("NAME", json.dumps(name)).replace("VALUE", json.dumps(value))
    st.html(script.replace("AGE", str(YEAR_S)), unsafe_allow_javascript=True)


def show_browser() -> None:
    """Draw theme and time zone: choices of this browser, kept in it."""
    st.subheader("This browser")
    themes = look.THEMES
    now = st.context.cookies.get(look.THEME_COOKIE, themes[0])
    now = now if now in themes else themes[0]
    theme = st.segmented_control("Theme", themes, default=now, key="theme", required=True)
    if theme != now:
        keep_in_browser(look.THEME_COOKIE, theme)
    names = sorted(words.zones())
    shown = words.zone()
    chosen = st.selectbox("Time zone", names, index=names.index(shown), key="zone")
    if chosen != shown:
        keep_in_browser(words.ZONE_COOKIE, chosen)


# -- The form that changes the operator's password, which ends all sessions --


@guard.part("The password")
def show_password() -> None:
    st.subheader("Password")
    with st.form("password", clear_on_submit=True):
        old = st.text_input("Current password", type="password")
        new = st.text_input("New password", type="password")
        sent = st.form_submit_button("Change the password")
    panels.note("All sessions end, including this one: sign in again with the new password.")
    if not sent:
        return
    try:
        with writing(config().state_path) as connection:
            who = st.session_state["who"]
            change_password(connection, name=who, old=old, new=new, now_ns=now_ns())
    except PitbossError as error:
        st.error(f"Not changed: {literal(error)}.")
        return
    st.success("Changed. Reload the page and sign in with the new password.")


# -- Markets by venue: how many are open, and the button that asks the venue for its listing --


@guard.part("The sync of markets")
def show_markets() -> None:
    """Draw one row for each venue where an account is registered."""
    st.subheader("Markets")
    panels.note("Feeds report their markets automatically; this compares with the full listing.")
    venues = sorted({account.venue for account in ask(snapshot).accounts})
    if not venues:
        panels.note("No engine has registered an account yet: no venue is known.")
        return
    runs = commands.engine_runs()
    if not runs:
        commands.note_no_engine()
    everywhere = ask(open_markets, engine_id(), this_minute())
    for venue in venues:
        here = sum(name.startswith(f"{venue}:") for name in everywhere)
        with st.container(horizontal=True, vertical_alignment="center"):
            if st.button(
                f"Sync markets of {literal(venue)}", key=f"sync_{venue}", disabled=not runs
            ):
                commands.send(SyncMarkets(venue=venue), f"sync:{venue}")
            panels.note(f"{count(here, 'open market')} of {venue} known here")
        commands.show_progress(f"sync:{venue}")


@guard.part("This page")
def main() -> None:
    """Draw the page."""
    panels.head("Settings", "Accounts from the state database; theme and zone from this browser")
    show_browser()
    show_accounts()
    live_accounts.show_credentials()
    live_accounts.show_live_accounts()
    show_markets()
    show_password()
    commands.show_question()


# -- The accounts of this desk, what each is connected to, and the form for another one ------------


ACCOUNTS = columns_of(
    Col("name", "Account"),
    Col("mode"),
    Col("venue"),
    Col("currency"),
    Col("starting_cash", kind=ColKind.MONEY),
    Col("known", "Status"),
)


@guard.part("The list of accounts")
def show_accounts() -> None:
    st.subheader("Accounts")
    drafts.show_version()
    base = drafts.newest()
    reported = {account.account: account.currency for account in ask(snapshot).accounts}
    rows = [
        {
            **account.model_dump(mode="json"),
            "mode": account.mode.upper(),
            # What an account's money is, its venue says; the settings' word holds until then.
            "currency": reported.get(name, account.currency),
            "known": "open" if is_open(name) else "not open",
        }
        for name, account in base.document.accounts.items()
    ]
    if rows:
        table(rows, ACCOUNTS, key="accounts")
    else:
        panels.empty(
            "There is no account yet.",
            "Every bot trades at an account, and limits belong to one. Create one below.",
        )
    with panel("Add an account", "fold_account") as opened:
        if opened:
            add_account(base)
    with panel("Remove an account", "fold_remove") as opened:
        if opened:
            remove_account(base)
    drafts.review("accounts")
    show_automation(base)
    live_accounts.show_quote_life()


AUTOMATION = ("auto_redeem", "redeem_above", "merge_above")


@guard.part("The wallet's automation")
def show_automation(base: SettingsVersion) -> None:
    """Draw what an account's wallet does by itself, and the form that changes it."""
    accounts = base.document.accounts
    if not accounts:
        return
    with st.expander("Automatic redeem and merge", key="fold_automation"):
        name = str(st.selectbox("Account", list(accounts), key="automation_account"))
        account = accounts[name]
        panels.note(f"{name}, {account.mode.upper()}, as saved: {automation(account)}.")
        panels.note(
            "Each is one wallet transaction, requested once and booked when the venue has "
            "confirmed it; a live account needs the relayer key for it (the doctor checks this)."
        )
        now = account.model_copy(update={"auto_redeem": account.redeems})
        with st.form(f"automation_{name}", border=False):
            patch = forms.form(forms.of_now(now, AUTOMATION), f"automation_{name}")
            sent = st.form_submit_button("Show what changes")
        if sent:
            drafts.draft("automation", {"accounts": {name: patch}} if patch else {}, base)
    drafts.review("automation")


def automation(account: AccountSettings) -> str:
    """Return what an account's wallet does by itself, in words."""
    currency = account.currency
    least = f" worth {account.redeem_above:,g} {currency} or more" * (account.redeem_above > 0)
    redeems = f"winners{least} are redeemed" if account.redeems else "winners wait for you"
    if account.merge_above is None:
        return f"{redeems}; pairs wait for you"
    return f"{redeems}; pairs worth {account.merge_above:,g} {currency} or more are merged"


def say_modes(known: Mapping[str, VenueEntry]) -> None:
    real = [one.title for one in known.values() if one.mode(Mode.LIVE) is not None]
    panels.note(
        f"The engine connects to the public data of {' or '.join(real)} once a paper account there "
        "has a bot; no key is needed, and no order leaves this machine."
    )
    panels.note(
        "LIVE is real money. Such an account stays closed until its key is set (Credentials, "
        "below), its doctor is green and its phrase is typed: python -m engine unlock NAME."
    )


def add_account(base: SettingsVersion) -> None:
    """Draw the form of a new account. A LIVE one trades nothing before it is unlocked."""
    known = ask(venues, engine_id())
    if not known:
        panels.note("No engine has reported its venues yet: start the desk.")
        return
    with st.form("account", border=False):
        name = st.text_input("Name", placeholder="paper-1")
        mode = st.segmented_control(
            "Mode", (Mode.PAPER, Mode.DEMO, Mode.LIVE), default=Mode.PAPER, format_func=str.upper
        )
        venue = st.selectbox(
            "Venue", list(known), format_func=lambda one: f"{known[one].title}: {known[one].about}"
        )
        cash = st.number_input("Starting cash", value=1_000.0, step=100.0)
        sent = st.form_submit_button("Show what changes")
    say_modes(known)
    if not sent:
        return
    if name in base.document.accounts:
        st.error(f"There is an account {literal(repr(name))} already. Nothing was changed.")
        return
    mode = mode or Mode.PAPER
    if known[venue].mode(mode) is None:
        there = ", ".join(name for name, one in known.items() if one.mode(mode) is not None)
        st.error(
            f"A {mode.upper()} account needs the venue {literal(there or 'of a plug-in')}. "
            "Nothing was changed."
        )
        return
    made = {
        "name": name,
        "mode": mode,
        "venue": venue,
        "currency": known[venue].currency,
        "starting_cash": cash,
    }
    try:
        account = AccountSettings.model_validate(made)
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        st.error(
            f"{literal('.'.join(map(str, wrong['loc'])))}: {literal(wrong['msg'])}. Nothing was "
            "changed."
        )
        return
    drafts.draft("accounts", {"accounts": {name: account.model_dump(mode="json")}}, base)


# -- An account leaves: what stands in the way is said first, and nothing is saved before ----------

OPEN_NS_MAX = 60 * SECOND_NS
"""An account whose money the engine reported no longer ago is open: it reports every 2 s."""

KEPT = (
    "A version of the settings without it is saved and applied at once. Its orders, fills and PnL "
    "stay on record, and KILL still covers it. Money and tokens stay where they are. An account of "
    "this name can be added again at the same venue and mode."
)
CLOSED = (
    "It is not open: its vault is locked, or its key is lost. Once it is removed, nobody here "
    "watches this. Open the vault (below), or look at the venue first."
)


def standing(account: AccountSettings) -> dict[str, str]:
    """Return what an account still has by the state database → the address where it is ended."""
    name, mode, owner = account.name, account.mode, engine_id()
    at_ns, positions = now_ns() // SECOND_NS * SECOND_NS, panels.address("positions")
    steps = {one.phase: one.count for one in ask(money.pipeline, owner, account=name, now_ns=at_ns)}
    unsettled = sum(steps[one] for one in (Phase.MATCHED, Phase.MINED, Phase.RETRYING))
    orders, held = (
        ask(live_orders_in, owner, account=name),
        len(ask(money.held, owner, mode=mode, account=name)),
    )
    found = {
        count(orders, "open order"): links.orders(links.WORKING, mode, account=name),
        count(held, "position"): positions,
        count(unsettled, "fill to settle", "fills to settle"): positions,
        count(steps[Phase.REDEEMABLE], "market to redeem", "markets to redeem"): positions,
    }
    return {said: where for said, where in found.items() if not said.startswith("0 ")}


def is_open(name: str) -> bool:
    seen = ask(account_report, engine_id(), Capital, name)
    return seen is not None and now_ns() - seen.at_ns < OPEN_NS_MAX and commands.engine_runs()


@guard.part("The removal of an account")
def remove_account(base: SettingsVersion) -> None:
    """Draw the choice of an account, what stands in the way of its removal, or the button."""
    accounts = base.document.accounts
    name = st.selectbox("Account", list(accounts), index=None, key="remove_account")
    if name is None:
        return
    if ask(in_force, engine_id()).version != base.version:
        st.warning("Apply the saved settings above first: a removal is applied at once.")
        return
    bots = {
        f"bot {bot.name}": panels.address("bots", bot=bot.name)
        for bot in base.document.bots.values()
        if bot.account == name
    }
    left = standing(accounts[name])
    closed = not is_open(name) and accounts[name].mode is not Mode.PAPER
    if bots or left:
        has = ", ".join(panels.anchor(*one) for one in (bots | left).items())
        panels.links(f"{name} still has {has}")
    if bots or (left and not closed):
        st.warning(
            "It cannot be removed yet. Stop and remove its bots, cancel its orders, sell or redeem "
            "what it holds, and wait until its fills have settled."
        )
        return
    if left:
        st.warning(CLOSED)
    if not commands.engine_runs():
        commands.note_no_engine()
    elif st.button(f"Remove {literal(name)}…", key="remove_it"):
        commands.ask_first(_removal(accounts[name], base, left))


def _removal(
    account: AccountSettings, base: SettingsVersion, left: dict[str, str]
) -> commands.Confirmation:
    """Return what is asked: the account's name, typed, and why where something is left."""

    def save(reason: str) -> ApplySettings | None:
        saved = drafts.keep("accounts", {"accounts": {account.name: None}}, base.version)
        if not isinstance(saved, Saved):
            st.error("Somebody has saved settings meanwhile: close this, and choose again.")
            return None
        return ApplySettings(version=saved.version, abandon=reason)

    still = f" It still has {', '.join(left)}." if left else ""
    return commands.Confirmation(
        command=save,
        slot="settings",
        title=f"Remove {account.name}?",
        words=f"Account **{literal(account.name)}** at {literal(account.venue)}. "
        f"{commands.MONEY[account.mode]}.{literal(still)}\n\n{KEPT}",
        label=f"Remove {literal(account.name)}",
        phrase=account.name,
        reason="Why may it be left unwatched?" if left else "",
    )
