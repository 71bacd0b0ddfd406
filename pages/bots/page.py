"""What each bot does and why, its orders, markouts and settings.

A bot is a strategy with markets, an account, capital and parameters. ERROR means it raised and
stopped alone; the others go on.

Changes: start, pause, stop, KILL, mode, settings.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from decimal import Decimal
from typing import Any

import streamlit as st

from engine.domain.bots import BotHappened, BotState, may
from engine.domain.commands import InventoryPolicy, PauseBot, ResumeBot, SetMode, StartBot, StopBot
from engine.domain.instruments import BotId, Mode
from engine.domain.settings import SettingsDocument
from pages import Page
from pages.bots import edit, evaluations
from pages.bots import evaluations as bot_why
from pages.kit import commands, drafts, guard, links, panels
from pages.kit.data import ask, engine_id, health_of
from pages.kit.home import now_ns
from pages.kit.names import market
from pages.kit.panels import Tile, fold
from pages.kit.tables import choice, choose, unchoose
from pages.kit.words import NOTHING, count, money
from pages.shared import losses, markouts, pnl, scoped_kill, why
from pages.shared.order import ladder
from storage import views
from storage.live import books, engine_status
from storage.views.drill_down import orders_behind
from storage.views.frame import engine_seen, live_orders_of

PAGE = Page("Bots", ":material/smart_toy:", "Trade", 1)

COLUMNS = {
    "name": ("Bot", "text"),
    "state": ("State", "text"),
    "mode": ("Mode", "text"),
    "total": ("PnL", "gain"),
    "today": ("Today", "gain"),
    "live": ("Open orders", "count"),
    "capital": ("Capital", "money"),
    "strategy": ("Strategy", "text"),
    "account": ("Account", "text"),
    "evaluations": ("Evaluations", "count"),
    "error": ("Error", "text"),
    "updated_ns": ("Reported", "time"),
}
REFRESH_S = 2.0
NOT_REPORTED = "SAVED, NOT REPORTED"


def rows_of(document: drafts.SettingsDocument, *, alive: bool) -> list[dict[str, Any]]:
    """Return the bots the engine reports and those that are only saved, by name."""
    live = ask(live_orders_of, engine_id())
    made = {
        (row["account"], row["bot"]): row for mode in Mode for row in pnl.by_bot(mode, now_ns())
    }
    nothing = {"total": None, "today": None, "currency": None}
    found = {
        row["name"]: {
            **row,
            **{name: made.get((row["account"], row["name"]), nothing)[name] for name in nothing},
            "state": row["state"].upper() if alive else f"{row['state'].upper()} (last known)",
            "mode": row["mode"].upper(),
            "live": live.get(row["name"], 0),
        }
        for row in ask(views.bots, engine_id())
    }
    for name, bot in document.bots.items():
        account = document.accounts.get(bot.account)
        blank: dict[str, Any] = dict.fromkeys((*COLUMNS, "currency"))
        saved = {
            "name": name,
            "state": NOT_REPORTED,
            "mode": account.mode.upper() if account else None,
            "account": bot.account,
            "strategy": bot.strategy,
            "capital": bot.capital,
        }
        found.setdefault(name, blank | saved)
    return [found[name] for name in sorted(found)]


@st.fragment(run_every=REFRESH_S)
@guard.part("The list of bots")
def show_bots() -> None:
    """Draw the bots as they stand, anew every few seconds, and the selected one."""
    seen = ask(engine_seen)
    alive = health_of(seen, now_ns()).alive
    if not alive:
        st.warning("NO ENGINE IS RUNNING: no bot trades.", icon=":material/power_off:")
    base = drafts.newest()
    rows = rows_of(base.document, alive=alive)
    if not rows:
        panels.empty(
            "There is no bot yet.",
            "What an engine reports and what is saved here appears as a row. One is made below.",
        )
        return
    follow_address({row["name"] for row in rows})
    chosen = choice(rows, COLUMNS, key="bots", ids=[row["name"] for row in rows])
    name_in_address(chosen)
    bot = next((row for row in rows if row["name"] == chosen), None)
    if bot is None:
        panels.note(
            "Select a row to see a bot: start, stop, why it quotes, its orders in the book."
        )
    else:
        show_bot(bot, base, alive=alive)


def follow_address(known: set[str]) -> None:
    """Open the bot the address names, once; one that was just made, as soon as it has a row."""
    linked = st.query_params.get("bot")
    if linked != st.session_state.get("opened_bot") and (linked in known or linked is None):
        st.session_state["opened_bot"] = linked
        if linked is None:
            unchoose("bots")
        else:
            choose("bots", linked)


def name_in_address(chosen: Hashable | None) -> None:
    """Let the address name the bot that is open: the back button closes it again."""
    # One that was just made is named there before it has a row: only a click changes the address.
    if not isinstance(chosen, str) or chosen == st.session_state.get("opened_bot"):
        return
    st.session_state["opened_bot"] = chosen
    st.query_params.from_dict({"bot": chosen})


@guard.part("This page")
def main() -> None:
    """Draw the page."""
    panels.head("Bots", "A few seconds old; refreshed every 2 s")
    drafts.standing()
    show_bots()
    commands.show_question()
    edit.show()
    with fold("Create a bot", "fold_bot", opened="create" in st.query_params) as opened:
        if opened:
            edit.create(drafts.newest())
    drafts.review("bots")


# -- One bot: what it may do now, its settings, and the books it watches with our orders in t --

POLICIES = {
    InventoryPolicy.HOLD: "keep it",
    InventoryPolicy.WORK_OUT: "reduce it passively until flat",
    InventoryPolicy.EXIT: "sell it now within the slippage cap",
}
NOW, BEFORE = "Now", "Evaluations"


def takes(bot: Mapping[str, Any], asked: BotHappened) -> bool:
    try:
        return may(BotState(str(bot["state"]).lower()), asked)
    except ValueError:
        return False  # saved only, or the last word of an engine that is gone


@guard.part("The bot")
def show_bot(bot: Mapping[str, Any], base: drafts.SettingsVersion, *, alive: bool) -> None:
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
        show_mode(bot, base.document)
    elif alive:
        panels.note("The engine does not know this bot: apply the saved settings first.")
    else:
        commands.nobody_takes_it()
    commands.show_life(f"bot:{bot['name']}")
    if alive and bot["evaluations"] is not None:
        _about(bot)
    elif bot["evaluations"] is not None:
        evaluations.show_before(bot["name"])
    if bot["mode"]:
        markouts.show(Mode(str(bot["mode"]).lower()), str(bot["name"]))
        losses.of(Mode(str(bot["mode"]).lower()), str(bot["name"]))
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
    fills = links.fills(mode, **only)
    for name, key in (("Realised", "realised"), ("Unrealised", "unrealised"), ("Fees", "fees")):
        value = money(sum((row[key] for row in mine), Decimal(0)), currency, signed=key != "fees")
        shown.append(Tile(name, value if mine else NOTHING, fills))
    shown.append(
        Tile("Open orders", f"{bot['live'] or 0:,}", links.orders(links.WORKING, mode, **only))
    )
    panels.tiles(shown)


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
            evaluations.at_moment(name, st.query_params.get("market", ""), int(at))
        evaluations.show_before(name)
        return
    bot_why.show_now(name, now_ns(), state=str(bot["state"]))
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
    mode = Mode(str(bot["mode"]).lower())
    ours = ask(orders_behind, engine_id(), mode=mode, open_only=True, bot=str(bot["name"]))
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


# -- What else may be done with a bot: moved to its twin account of another mode, killed alon --

LOCKED = "LIVE is locked here: a bot with real money is created at its live account, never moved."


@guard.part("The mode of the bot")
def show_mode(bot: Mapping[str, Any], document: SettingsDocument) -> None:
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
        commands.ask_first(_question(bot, mode, found[0]))


def _question(bot: Mapping[str, Any], mode: Mode, twin: str) -> commands.Confirmation:
    name, account = str(bot["name"]), str(bot["account"])
    words = (
        f"Bot **{name}** trades at account **{twin}** from its next start, no more at {account} "
        f"({bot['mode']}). {commands.MONEY[mode]}.\n\nFirst it is proven that none of its orders "
        f"is open. What {account} holds stays there: nothing is sold and nothing crosses. A new "
        "version of the settings is saved and put in force. The bot stays stopped."
    )
    return commands.Confirmation(
        command=SetMode(bot=BotId(name), mode=mode),
        slot=f"bot:{name}",
        title=f"Move {name} to {mode.upper()}",
        words=words,
        label=f"Move to {mode.upper()}",
    )
