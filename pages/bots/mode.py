"""What else may be done with a bot: moved to its twin account of another mode, killed alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from engine.domain.commands import SetMode
from engine.domain.instruments import BotId, Mode
from engine.domain.settings import SettingsDocument
from pages.kit import confirm, guard, panels
from pages.kit.data import ask, engine_id
from pages.shared import scoped_kill
from storage.live import engine_status

LOCKED = "LIVE is locked here: a bot with real money is created at its live account, never moved."


@guard.part("The mode of the bot")
def show(bot: Mapping[str, Any], document: SettingsDocument) -> None:
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
        st.error(f"KILL of bot {name} stands: it places nothing until that is released.")
        panels.links(panels.link("Release it under Risk", "risk"))


def twins(document: SettingsDocument, account: str, mode: Mode) -> list[str]:
    """Return the accounts of another mode at the venue of an account."""
    here = document.accounts.get(account)
    return [
        one.name
        for one in document.accounts.values()
        if here is not None and one.venue == here.venue and one.mode is mode and one is not here
    ]


def _move(bot: Mapping[str, Any], mode: Mode, document: SettingsDocument, why: list[str]) -> None:
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
        confirm.ask_first(_question(bot, mode, found[0]))


def _question(bot: Mapping[str, Any], mode: Mode, twin: str) -> confirm.Confirmation:
    name, account = str(bot["name"]), str(bot["account"])
    words = (
        f"Bot **{name}** trades at account **{twin}** from its next start, no more at {account} "
        f"({bot['mode']}). {confirm.MONEY[mode]}.\n\nFirst it is proven that none of its orders is "
        f"open. What {account} holds stays there: nothing is sold and nothing crosses. A new "
        "version of the settings is saved and put in force. The bot stays stopped."
    )
    return confirm.Confirmation(
        command=SetMode(bot=BotId(name), mode=mode),
        slot=f"bot:{name}",
        title=f"Move {name} to {mode.upper()}",
        words=words,
        label=f"Move to {mode.upper()}",
    )
