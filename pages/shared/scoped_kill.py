"""KILL of a part: one account, bot or market, in two clicks; its latch, and its release.

An account that risk or a contradiction of its venue has stopped is released here, too.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import streamlit as st

from engine.domain.commands import MANUAL, Kill, ReleaseLatch
from engine.domain.instruments import AccountId, BotId, InstrumentId
from engine.domain.telemetry import EngineStatus, ScopedLatch
from pages.kit import commands, guard, names, panels
from pages.kit.data import ask, engine_id
from pages.kit.forms import reason_asked
from pages.kit.home import this_minute
from pages.kit.markdown import literal
from pages.kit.words import count, moment
from storage.commands import SCOPE_PROOF
from storage.live import engine_status
from storage.views.frame import live_orders_in, open_markets, snapshot

SLOT, REFRESH_S = "scopes", 2.0
ACCOUNT, MARKET, HAND = "Account", "Market", "Manual orders"


class KillPart(msgspec.Struct, frozen=True, kw_only=True):
    """What a KILL covers; exactly one is set."""

    account: AccountId | None = None
    bot: BotId | None = None
    instrument: InstrumentId | None = None

    def __str__(self) -> str:
        if self.account is not None:
            return f"account {self.account}"
        if self.bot is None:
            return f"market {names.market(self.instrument or '')}"
        return "manual orders" if self.bot == MANUAL else f"bot {self.bot}"


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """The latch of one part, over all accounts where it stands."""

    scope: KillPart
    who: str
    reason: str
    at_ns: int
    accounts: tuple[str, ...]


def held(latches: Sequence[ScopedLatch]) -> list[Held]:
    """Return the scoped KILLs that stand, each part once."""
    found: dict[KillPart, Held] = {}
    for one in latches:
        whole = one.bot is None and one.instrument is None
        scope = KillPart(
            account=one.account if whole else None, bot=one.bot, instrument=one.instrument
        )
        before = found[scope].accounts if scope in found else ()
        found[scope] = Held(
            scope=scope,
            who=one.who,
            reason=one.reason,
            at_ns=one.at_ns,
            accounts=(*before, one.account),
        )
    return list(found.values())


def ask_kill(scope: KillPart, slot: str) -> None:
    """Open the dialog of the second click: what a KILL of this part does, to how many orders."""
    live = ask(live_orders_in, engine_id(), **msgspec.structs.asdict(scope))
    stops = "every bot that trades there" if scope.bot is None else "the bot"
    stops = "" if scope.bot == MANUAL else f", stops {stops},"
    words = (
        f"Cancels {count(live, 'open order')} of **{literal(scope)}**, proves it{stops} and "
        "places nothing there until it is released under Risk with a reason. Inventory is "
        "kept, not sold. Everything else goes on."
    )
    commands.ask_first(
        commands.Confirmation(
            command=Kill(account=scope.account, bot=scope.bot, instrument=scope.instrument),
            slot=slot,
            title=f"KILL {scope}?",
            words=words,
            label="CONFIRM KILL",
        )
    )


@st.fragment
@guard.part("The scoped kill")
def show_kill() -> None:
    """Draw the first click: which account or market."""
    if not commands.engine_runs():
        commands.note_no_engine()
        panels.note("KILL in the bar above works without an engine: it stops everything.")
        return
    what = st.segmented_control(
        "Scope", (ACCOUNT, MARKET, HAND), default=ACCOUNT, key="scope_kind", required=True
    )
    if what == ACCOUNT:
        account = st.selectbox(
            "Which account", [one.account for one in ask(snapshot).accounts], key="scope_account"
        )
        scope = KillPart(account=AccountId(account)) if account else None
    elif what == HAND:
        scope = KillPart(bot=MANUAL)
    else:
        open_now = ask(open_markets, engine_id(), this_minute())
        market = st.selectbox(
            "Which market", open_now, format_func=names.market, key="scope_market"
        )
        scope = KillPart(instrument=InstrumentId(market)) if market else None
    if st.button("KILL this scope…", key="scope_kill", disabled=scope is None) and scope:
        ask_kill(scope, SLOT)


@st.fragment(run_every=REFRESH_S)
@guard.part("The list of scoped kills")
def show_held() -> None:
    """Draw the latches of parts, each with the form that releases it."""
    alive = commands.engine_runs()
    panels.note("KILL one bot under Bots; one account, one market or the manual orders below.")
    status = ask(engine_status, engine_id()) or EngineStatus()
    latches = held(status.latches)
    if not latches and not status.to_release:
        panels.note("No scoped kill is set, and no account is waiting for release.")
    for one in latches:
        where = "" if one.scope.account else f" at {literal(', '.join(one.accounts))}"
        text = f"**KILL of {literal(one.scope)}**{where} by {literal(one.who)}, {moment(one.at_ns)}"
        _show(one.scope, text, alive=alive)
    for account, why in status.to_release.items():
        text = f"**{literal(account)} is stopped** and places nothing until it is released: "
        text += literal("; ".join(why))
        _show(KillPart(account=AccountId(account)), text, alive=alive)
    panels.links(panels.link("Receipts of scoped kills", "journal", audit=SCOPE_PROOF))
    commands.show_progress(SLOT)


def _show(scope: KillPart, text: str, *, alive: bool) -> None:
    """Draw what stops a part, in markdown, and the form that releases it."""
    last = "" if alive else " (last known: no engine is running, and only one can release it)"
    st.error(text + last, icon=":material/lock:")
    if not alive:
        return
    # By its parts: two markets of one series may have the same short name.
    key = f"release:{scope.account or scope.bot or scope.instrument}"
    reason = reason_asked(key, f"Why is it safe to release {scope}?", f"Release {scope}")
    if reason:
        commands.send(ReleaseLatch(reason=reason, **msgspec.structs.asdict(scope)), SLOT)
