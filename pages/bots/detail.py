"""One bot: what it may do now, its settings, and the books it watches with our orders in them."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import streamlit as st

from engine.domain.bots import BotHappened, BotState, may
from engine.domain.commands import InventoryPolicy, PauseBot, ResumeBot, StartBot, StopBot
from engine.domain.instruments import BotId, Mode
from pages.bots import edit, timeline
from pages.bots import mode as bot_mode
from pages.bots import why as bot_why
from pages.bots.ladder import ladder
from pages.kit import commands, drafts, guard, panels, tiles
from pages.kit.clock import now_ns
from pages.kit.data import ask, engine_id
from pages.kit.names import market
from pages.kit.tiles import Tile
from pages.kit.words import NOTHING, count, money
from pages.shared import drill_down, markouts, pnl, why
from storage import views
from storage.live import books

POLICIES = {
    InventoryPolicy.HOLD: "keep it",
    InventoryPolicy.WORK_OUT: "reduce it passively until flat",
    InventoryPolicy.EXIT: "sell it now within the slippage cap",
}
NOW, BEFORE = "Now", "Evaluations so far"


def takes(bot: Mapping[str, Any], asked: BotHappened) -> bool:
    """Say whether the engine would take what is asked of a bot, by the table it goes by itself."""
    try:
        return may(BotState(str(bot["state"]).lower()), asked)
    except ValueError:
        return False  # saved only, or the last word of an engine that is gone


@guard.part("The bot")
def show(bot: Mapping[str, Any], base: drafts.SettingsVersion, *, alive: bool) -> None:
    """Draw the bot of a row."""
    st.subheader(bot["name"])
    panels.note(
        f"{bot['state']} · {bot['mode'] or 'no account'} · {bot['strategy']} at {bot['account']}"
    )
    if bot["mode"]:
        figures(bot, Mode(str(bot["mode"]).lower()))
    if bot["error"]:
        st.error(f"It stopped by itself: {bot['error']}")
    if alive and bot["evaluations"] is not None:
        _actions(bot)
        bot_mode.show(bot, base.document)
    elif alive:
        panels.note("The engine does not know this bot: apply the saved settings first.")
    else:
        commands.nobody_takes_it()
    commands.show_life(f"bot:{bot['name']}")
    if alive and bot["evaluations"] is not None:
        _about(bot)
    elif bot["evaluations"] is not None:
        timeline.show(bot["name"])
    if bot["mode"]:
        markouts.show(Mode(str(bot["mode"]).lower()), str(bot["name"]))
    saved = base.document.bots.get(bot["name"])
    if saved is not None:
        # A bot the engine does not know is only saved: nothing of it works.
        rests = bot["evaluations"] is None or (alive and takes(bot, BotHappened.START_ASKED))
        _settings(saved.model_dump(mode="json"))
        edit.offer(str(bot["name"]), base, rests=rests)


@guard.part("What the bot made")
def figures(bot: Mapping[str, Any], mode: Mode) -> None:
    """Draw what it made and what it has open, each figure with its fills or orders behind it."""
    now = now_ns()
    only = {"account": str(bot["account"]), "bot": str(bot["name"])}
    mine = [
        row
        for row in pnl.by_bot(mode, now)
        if (row["account"], row["bot"]) == (only["account"], only["bot"])
    ]
    currency = mine[0]["currency"] if mine else ""
    shown = pnl.periods(mine, mode, currency, now, **only)
    fills = drill_down.fills(mode, **only)
    for name, key in (("Realised", "realised"), ("Unrealised", "unrealised"), ("Fees", "fees")):
        value = money(sum((row[key] for row in mine), Decimal(0)), currency, signed=key != "fees")
        shown.append(Tile(name, value if mine else NOTHING, fills))
    shown.append(
        Tile(
            "Open orders",
            f"{bot['live'] or 0:,}",
            drill_down.orders(drill_down.WORKING, mode, **only),
        )
    )
    tiles.show(shown)


@guard.part("What the bot does")
def _about(bot: Mapping[str, Any]) -> None:
    """Draw how it stands now, or what it evaluated before; a link of an alert names a moment."""
    name, at = str(bot["name"]), st.query_params.get("at", "")
    linked = at.isdecimal() and st.query_params.get("bot") == name
    what = st.segmented_control(
        "About the bot",
        (NOW, BEFORE),
        default=BEFORE if linked else NOW,
        key=f"about_{name}",
        required=True,
        label_visibility="collapsed",
    )
    if what == BEFORE:
        if linked:
            timeline.at_moment(name, st.query_params.get("market", ""), int(at))
        timeline.show(name)
        return
    bot_why.show(name, now_ns(), state=str(bot["state"]))
    _books(bot)


@guard.part("What may be asked of the bot")
def _actions(bot: Mapping[str, Any]) -> None:
    name = BotId(bot["name"])
    slot = f"bot:{name}"
    with st.container(horizontal=True):
        for label, asked, command in (
            ("Start", BotHappened.START_ASKED, StartBot(bot=name)),
            ("Pause", BotHappened.PAUSE_ASKED, PauseBot(bot=name)),
            ("Resume", BotHappened.RESUME_ASKED, ResumeBot(bot=name)),
        ):
            key = f"{label.lower()}_{name}"
            if st.button(label, disabled=not takes(bot, asked), key=key):
                commands.send(command, slot)
        if takes(bot, BotHappened.STOP_ASKED):
            with st.popover("Stop…"):
                _stop(bot, slot)


def _stop(bot: Mapping[str, Any], slot: str) -> None:
    st.markdown(
        f"Cancels {count(bot['live'], 'open order')} of **{bot['name']}** in {bot['mode']}, proves "
        "that none is left, then treats what it holds:"
    )
    policy = st.radio(
        "Inventory", list(POLICIES), format_func=POLICIES.__getitem__, key=f"policy_{bot['name']}"
    )
    if st.button("Stop the bot", type="primary", key=f"stop_{bot['name']}"):
        commands.send(StopBot(bot=BotId(bot["name"]), inventory=policy), slot)


def _settings(saved: Mapping[str, Any]) -> None:
    with st.expander("Settings as saved"):
        flat = {name: value for name, value in saved.items() if name != "parameters"}
        flat |= {f"parameters.{name}": value for name, value in saved["parameters"].items()}
        panels.facts({name: _shown(value) for name, value in flat.items()})


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


@guard.part("The books of the bot")
def _books(bot: Mapping[str, Any]) -> None:
    """Draw the books in which this bot has orders, with those orders."""
    mode = Mode(str(bot["mode"]).lower())
    ours = [
        row
        for row in ask(views.orders, engine_id(), mode=mode, open_only=True)
        if row["bot"] == bot["name"]
    ]
    parts = []
    keys = tuple(sorted({(row["account"], row["instrument"]) for row in ours}))
    for key, book in sorted(ask(books, engine_id(), keys).items()):
        mine = [row for row in ours if (row["account"], row["instrument"]) == key]
        parts.append((market(key[1]), ladder(book, mine, mine[0])))
    st.markdown("**Books with its orders in them**")
    if parts:
        st.html(why.blocks(parts))
    else:
        panels.note("None of its orders rests in a book that is shown now.")
