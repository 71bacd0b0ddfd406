"""What may be changed about a bot: settings, mode; removed, restored, killed, duplicated."""

from __future__ import annotations

import json

import msgspec
import streamlit as st

from engine.domain.commands import SetMode
from engine.domain.instruments import BotId, Mode
from engine.domain.plain import PlainDict, PlainView
from engine.domain.settings import BotSettings, SettingsDocument, Sizing
from pages.kit import commands, drafts, forms, guard, names, panels
from pages.kit.data import ask, ask_seldom, engine_id
from pages.kit.home import this_minute
from pages.kit.markdown import literal
from pages.kit.words import count, moment
from pages.shared import scoped_kill
from storage.catalog import strategies
from storage.live import engine_status
from storage.settings import (
    BotChange,
    SettingsVersion,
    Stale,
    bot_changes,
    changes,
    in_force,
    read,
    removed_bots,
)
from storage.views.frame import tradable

EDITED, REMOVED = "bot_edited", "bot_removed"
HISTORY_SHOWN = 20
"""Versions of a bot that its page shows, the newest."""
OWN = ("capital", "priority", "instruments_max", "inventory_on_stop", "slippage_exit_max")
"""What is asked for beside markets, series and the strategy's own parameters."""
SIZING = "Sizing: how much of its capital it puts into one market"
REST_FIRST = (
    "Stop it first to change its settings or remove it: a bot at work keeps its old settings"
)


class Edited(msgspec.Struct, frozen=True):
    """A form that is open: the bot, and the version its fields were filled from."""

    bot: str
    base: SettingsVersion


@guard.part("Change of settings")
def offer(name: str, base: SettingsVersion, *, rests: bool) -> None:
    """Draw the buttons; those that change it are dead, with the reason, while the bot works.

    The engine refuses a version that changes a bot at work, and a version that waits holds up the
    limits saved after it: so none is begun here.
    """
    with st.container(horizontal=True):
        if st.button("Duplicate…", key=f"copy_{name}"):
            st.query_params.from_dict({"create": "1", "copy": name})
            st.rerun()
        if st.button("Change settings…", key=f"edit_{name}", disabled=not rests):
            st.session_state[EDITED] = Edited(name, base)
            _fresh_start()
        if st.button("Remove…", key=f"remove_{name}", disabled=not rests):
            st.session_state.pop(EDITED, None)
            drafts.draft("bots", {"bots": {name: None}}, base)
            st.session_state[REMOVED] = name
            st.rerun()
    if not rests:
        panels.note(f"{REST_FIRST}.")


def _fresh_start() -> None:
    for key in ("draft:bots", "saved:bots", REMOVED):
        st.session_state.pop(key, None)
    st.rerun()


@guard.part("The bot's form")
def show() -> None:
    """Draw the open form, or what a removal means; call outside of fragments, above the draft."""
    drafted = "draft:bots" in st.session_state
    removed = st.session_state.get(REMOVED)
    if removed is not None and drafted:
        st.warning(
            f"**Remove {literal(removed)}.** It leaves this table when the version without it is "
            "in force. Its orders, fills and PnL stay on record. What its account holds stays "
            "there and no bot manages it: sell it by hand, or leave it to settle.",
            icon=":material/delete:",
        )
    edited = st.session_state.get(EDITED)
    if edited is None:
        return
    saved = st.session_state.get("saved:bots")
    if saved is not None and not isinstance(saved, Stale):
        st.session_state.pop(EDITED)  # saved: what follows is applying
        return
    with st.container(border=True):
        _form(edited, drafts.newest() if isinstance(saved, Stale) else edited.base)


def bars_of(name: str) -> str:
    """Return the bars a bot decides on, by the settings in force; empty = its strategy has none."""
    owner = engine_id()
    bot = ask(in_force, owner).document.bots.get(name)
    entry = ask(strategies, owner).get(bot.strategy) if bot else None
    field = entry.parameters.get("properties", {}).get("bars", {}) if entry else {}
    return str(bot.parameters.get("bars", field.get("default", ""))) if bot and field else ""


def show_saved(saved: PlainView) -> None:
    """Draw all settings of a bot as they were saved last."""
    with st.expander("Settings as saved", key="fold_saved"):
        flat = {name: value for name, value in saved.items() if name != "parameters"}
        entry = ask(strategies, engine_id()).get(saved["strategy"])
        flat |= {forms.parameter_label(entry, one): v for one, v in saved["parameters"].items()}
        lists = {name: ", ".join(v) or "none" for name, v in flat.items() if isinstance(v, list)}
        panels.facts({name: str(value) for name, value in (flat | lists).items()})


@guard.part("The history of its settings")
def show_history(name: str) -> None:
    """Draw what each saved version changed of a bot, the newest first."""
    mine = [one for one in ask_seldom(bot_changes, engine_id=engine_id()) if one.bot == name]
    with st.expander(f"History: {count(len(mine), 'version')}", key="fold_history"):
        for one in reversed(mine[-HISTORY_SHOWN:]):
            what = "changed" if one.before else "made"
            force = f"in force {moment(one.applied_ns)}" if one.applied_ns else "never in force"
            panels.note(f"Version {one.version}: {what} {moment(one.at_ns)} by {one.who}, {force}")
            if one.before:
                _show_change(one)
        if len(mine) > HISTORY_SHOWN:
            panels.note(f"{len(mine) - HISTORY_SHOWN} older ones are not shown.")


def _show_change(one: BotChange) -> None:
    """Draw what a version changed of a bot, in words."""
    before, after = (
        ask_seldom(read, engine_id=engine_id(), version=number)
        for number in (one.previous, one.version)
    )
    differs = changes(before.document, after.document)
    mine = [change for change in differs if change.path.startswith(f"bots.{one.bot}.")]
    drafts.show_changes(f"version_{one.version}", mine, before.document, after.document)


@guard.part("Removed bots")
def show_removed() -> None:
    """Offer to restore what was removed: a draft with the settings it had last."""
    base = drafts.newest()
    gone = {
        name: one
        for name, one in ask_seldom(removed_bots, engine_id=engine_id()).items()
        if name not in base.document.bots
    }
    if not gone or "draft:bots" in st.session_state:
        return
    with st.expander(f"Restore a removed bot ({len(gone)})", key="fold_restore"):
        name = st.selectbox("Removed bot", list(gone), key="restore_which")
        one = gone[name]
        kept = json.loads(one.before)
        panels.note(f"{kept['strategy']}, removed {moment(one.at_ns)} by {one.who}.")
        if st.button("Restore\N{HORIZONTAL ELLIPSIS}", key="restore_bot"):
            for key in ("saved:bots", REMOVED):
                st.session_state.pop(key, None)
            drafts.draft("bots", {"bots": {name: kept}}, base)
            st.rerun()


def _form(edited: Edited, against: SettingsVersion) -> None:
    """Draw the form; what was changed in it becomes a draft made from `against`."""
    bot = edited.base.document.bots[edited.bot]
    catalog = ask(strategies, engine_id())
    st.subheader(f"Change {literal(bot.name)}")
    account = edited.base.document.accounts[bot.account]
    panels.note(
        f"{bot.strategy} at {bot.account} · {commands.MONEY[account.mode].replace('*', '')} · "
        f"filled from version {edited.base.version}. New settings make it learn from scratch."
    )
    with st.form(f"edit:{bot.name}:{edited.base.version}", border=False):
        diff = _fields(bot, edited.base.document)
        if bot.strategy in catalog:
            with st.expander(
                f"Parameters of {literal(bot.strategy)}", expanded=True, key="fold_edit_parameters"
            ):
                given = forms.form(
                    forms.filled(catalog[bot.strategy].parameters, bot.parameters),
                    f"edit_{bot.name}",
                )
            if given:
                diff["parameters"] = given
        else:
            panels.note("Its parameters are not in the catalog: they stay as they are.")
        sent = st.form_submit_button(f"Show what changes in {literal(bot.name)}", type="primary")
    if st.button("Close without changes", key="edit_close"):
        st.session_state.pop(EDITED)
        _fresh_start()
    if sent:
        drafts.draft("bots", {"bots": {bot.name: diff}} if diff else {}, against)


def _fields(bot: BotSettings, document: SettingsDocument) -> PlainDict:
    """Draw what every bot has; gives what differs from now."""
    markets, series = ask(tradable, engine_id(), this_minute())
    offered = {"instruments": markets, "series": series}
    diff: PlainDict = {}
    for field, label in (("instruments", "Markets"), ("series", "Series (roll automatically)")):
        now = list(getattr(bot, field))
        wanted = forms.several(
            label,
            [*now, *(one for one in offered[field] if one not in now)],
            default=now,
            format_func=names.market,
            accept_new_options=True,
            key=f"edit_{bot.name}_{field}",
        )
        if wanted != now:
            diff[field] = wanted
    follows = followed(document, f"edit_{bot.name}_follows", bot.follows)
    if follows != bot.follows:
        diff["follows"] = follows
    diff |= forms.form(forms.of_now(bot, OWN), f"edit_{bot.name}")
    with st.expander(SIZING, key="fold_edit_sizing"):
        shown = forms.of_now(bot.sizing, tuple(Sizing.model_fields))
        sizing = forms.form(shown, f"edit_{bot.name}_sizing")
    return diff | ({"sizing": sizing} if sizing else {})


# -- What a form of a bot and the wizard ask alike --


def traded_by(document: SettingsDocument, account: str) -> dict[str, list[str]]:
    """Return the markets and series bots trade at an account, each with their names."""
    found: dict[str, list[str]] = {}
    for bot in document.bots.values():
        if bot.account == account:
            for what in (*bot.instruments, *bot.series):
                found.setdefault(what, []).append(bot.name)
    return found


def followed(document: SettingsDocument, key: str, now: str = "") -> str:
    """Ask for the saved filter a bot follows; gives its name, empty = none."""
    if not document.filters:
        return now
    known = ["", *document.filters]
    return str(
        st.selectbox(
            "Follows the saved filter",
            known,
            index=known.index(now) if now in known else 0,
            format_func=lambda name: name or "none",
            help="It trades the markets the filter finds, up to its own maximum; in a market that "
            "leaves the filter it only reduces. Filters are saved under Markets.",
            key=key,
        )
    )


# -- A bot as it is: moved to its twin account of another mode, killed alone --------

LOCKED = "LIVE is locked here: create a bot for real money at its live account; none is moved."


@guard.part("The bot's mode")
def show_mode(bot: PlainView, document: SettingsDocument) -> None:
    """Draw the modes a bot may be moved to, and the KILL of it alone."""
    name, now = str(bot["name"]), Mode(str(bot["mode"]).lower())
    why: list[str] = []
    with st.container(horizontal=True):
        for mode in (Mode.DEMO, Mode.PAPER):
            if mode is not now:
                _move(bot, mode, document, why)
        st.button("Move to LIVE", disabled=True, icon=":material/lock:", key=f"live_{name}")
        if st.button("KILL this bot…", key=f"kill_{name}"):
            scoped_kill.ask_kill(scoped_kill.KillPart(bot=BotId(name)), f"bot:{name}")
    panels.note(" ".join([*why, LOCKED]))
    status = ask(engine_status, engine_id())
    if status and any(one.bot == name for one in status.latches):
        st.error(f"KILL of bot {literal(name)} is set: it places nothing until that is released.")
        panels.links(panels.link("Release it under Risk", "risk"))


def twins(document: SettingsDocument, account: str, mode: Mode) -> list[str]:
    here = document.accounts.get(account)
    return [
        one.name
        for one in document.accounts.values()
        if here is not None and one.venue == here.venue and one.mode is mode and one is not here
    ]


def _move(bot: PlainView, mode: Mode, document: SettingsDocument, why: list[str]) -> None:
    """Draw the button of one mode; where it cannot be pressed, add the reason."""
    name, account = str(bot["name"]), str(bot["account"])
    found = twins(document, account, mode)
    reason = ""
    if bot["state"] != "STOPPED":
        reason = f"To move it to {mode.upper()}, stop it first."
    elif len(found) != 1:
        made = ", ".join(found) if found else "none"
        reason = (
            f"{mode.upper()} needs exactly one {mode} account at the venue of {account} (there "
            f"is: {made}): see Settings."
        )
    if reason:
        why.append(reason)
    label = f"Move to {mode.upper()}…"
    if st.button(label, disabled=bool(reason), key=f"move_{mode}_{name}"):
        commands.ask_first(_question(bot, mode, found[0]))


def _question(bot: PlainView, mode: Mode, twin: str) -> commands.Confirmation:
    name, account = str(bot["name"]), literal(bot["account"])
    words = (
        f"From its next start bot **{literal(name)}** trades at account **{literal(twin)}**, no "
        f"longer at {account} ({literal(bot['mode'])}). {commands.MONEY[mode]}.\n\nFirst it is "
        f"proven that none of its orders is open. What {account} holds stays there: nothing is "
        "sold or moved. A new version of the settings is saved and put in force. The "
        "bot stays stopped."
    )
    return commands.Confirmation(
        command=SetMode(bot=BotId(name), mode=mode),
        slot=f"bot:{name}",
        title=f"Move {name} to {mode.upper()}",
        words=words,
        label=f"Move to {mode.upper()}",
    )
