"""The cells of the status bar: what is known, as words; what is not known is never a number."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from html import escape

import msgspec
import streamlit as st

from engine.domain.alerts import Severity, described
from engine.domain.commands import ResumeKilled
from engine.domain.instruments import Mode
from engine.domain.telemetry import EngineStatus
from engine.errors import PitbossError
from pages.frame import kill
from pages.kit import commands, guard, panels
from pages.kit.data import EngineHealth, ask, fresh, health_of
from pages.kit.home import config, now_ns
from pages.kit.markdown import literal
from pages.kit.panels import StatusCell
from pages.kit.words import NOTHING, SECOND_NS, age, count, micro, moment, percent, utc
from pages.shared import browser_alerts
from storage import watch
from storage.latch import Latch, read_latch
from storage.live_accounts import VenueHeartbeat
from storage.views.frame import (
    NEWEST_MAX,
    AccountSeen,
    AlertSeen,
    FrameSnapshot,
    OrdersSeen,
    UnseenAlerts,
    snapshot,
)
from storage.watch import Notice, NoticeSource

__all__ = ["DANGER", "StatusCell", "cells", "html", "modes_of"]

# The status bar's cell of the dead man's switch: does it beat, and when does the venue cancel.

NAME = "Dead man's switch"
COVERS = (
    "After ten seconds without a heartbeat the venue cancels every order of this API key, "
    "including those placed by hand; it checks every five seconds."
)


def heartbeat_cell(
    heartbeats: tuple[VenueHeartbeat, ...], mode: Mode | None, now_ns: int, *, alive: bool
) -> StatusCell | None:
    """Return the cell of the account that is worst off; None = no account of the mode has one."""
    shown = [one for one in heartbeats if one.mode == mode]
    if not shown:
        return None
    # What the venue is about to cancel comes first, then what it does not watch.
    worst = min(shown, key=lambda one: (one.beating and alive, one.armed_ns is None, one.account))
    if worst.beat_ns is None or worst.cancels_ns is None:
        hint = f"{worst.account}: {worst.reason or 'no heartbeat yet'}. {COVERS}"
        return StatusCell(NAME, "NOT ARMED", "warn", hint=hint)
    if alive and worst.beating and not worst.reason:
        value = f"heartbeat {age(now_ns - worst.beat_ns)} ago"
        return StatusCell(NAME, value, "ok", hint=f"{worst.account}. {COVERS}")
    why = worst.reason if alive else "the engine is not running"
    left_ns = worst.cancels_ns - now_ns
    if left_ns > 0:
        value = f"VENUE CANCELS IN {-(-left_ns // SECOND_NS)} s"
        return StatusCell(NAME, value, "bad", hint=f"{worst.account}: {why}. {COVERS}")
    hint = (
        f"{worst.account}: {why}. By its own rule the venue cancelled all orders of this key at "
        f"{moment(worst.cancels_ns)}; only a listing of open orders proves it."
    )
    return StatusCell(NAME, "LAPSED", "bad", hint=hint)


DANGER = (Mode.LIVE, Mode.PAPER, Mode.DEMO)
"""Most dangerous first."""


def modes_of(snapshot: FrameSnapshot) -> list[Mode]:
    """Return the modes there are accounts or live orders of: what to show first comes first.

    LIVE leads wherever it exists; of the others, one in which something happens leads an idle one,
    and where nothing happens yet DEMO leads: its bots start by themselves.
    """
    found = {account.mode for account in snapshot.accounts}
    found |= {orders.mode for orders in snapshot.orders}
    busy = {orders.mode for orders in snapshot.orders if orders.live or orders.unknown}
    busy |= {account.mode for account in snapshot.accounts if _moved(account)}
    busy |= {Mode.LIVE} & found
    awake = [mode for mode in DANGER if mode in busy]
    return awake + [mode for mode in reversed(DANGER) if mode in found - busy]


def _moved(account: AccountSeen) -> bool:
    known = {account.equity_micro, account.cash_micro, account.peak_micro} - {None}
    return len(known) > 1


def cells(
    snapshot: FrameSnapshot, latch: Latch | None, mode: Mode | None, now_ns: int
) -> list[StatusCell]:
    """Return the bar's cells in order. Figures of an engine that is gone are not shown as now's."""
    health = health_of(snapshot.engine, now_ns)
    accounts = [account for account in snapshot.accounts if account.mode == mode]
    orders = next((seen for seen in snapshot.orders if seen.mode == mode), None)
    switch = heartbeat_cell(snapshot.beats, mode, now_ns, alive=health.alive)
    stopped = None if latch or not health.alive else _stopped(accounts, snapshot.status)
    return [
        _engine(snapshot, health),
        *([_latched(latch, snapshot.status.latch_reason)] if latch else []),
        *([stopped] if stopped else []),
        _mode(mode),
        _heartbeat(snapshot, health, now_ns),
        *([switch] if switch else []),
        _equity(accounts, health),
        _budget(accounts, health),
        _open(orders, health),
        _unknown(orders, now_ns),
        _feed(snapshot, health),
        _unseen(snapshot.unseen),
    ]


def _engine(snapshot: FrameSnapshot, health: EngineHealth) -> StatusCell:
    if not health.alive:
        hint = (
            "No engine has ever run here."
            if health is EngineHealth.NEVER
            else "It stopped reporting."
        )
        return StatusCell("Engine", "ENGINE NOT RUNNING", "bad", hint=hint)
    state = snapshot.engine.state.upper() if snapshot.engine else ""
    if health is EngineHealth.LATE:
        return StatusCell("Engine", f"{state}, LATE", "warn", hint="It is reporting late.")
    return StatusCell("Engine", state, "ok" if state == "RUNNING" else "warn")


TOAST_NS = 15 * SECOND_NS
"""How long a new alert stands over the page."""

TOAST_LENGTH_MAX = 160
WHY_LENGTH_MAX = 60
"""Of a reason so much stands in the bar; the whole is its hint."""


def _latched(latch: Latch, reason: str) -> StatusCell:
    """Return who set KILL, when and, where the engine says more than that, why."""
    who = latch.who or "somebody by hand"
    why = reason.removeprefix(f"{who}: ")
    if why.startswith("KILL at "):
        why = ""  # it was asked for by hand: when, is said
    text = f"by {who}, {moment(latch.at_ns)}"
    if why:
        text += f": {why[:WHY_LENGTH_MAX]}" + "…" * (len(why) > WHY_LENGTH_MAX)
    hint = f"Set by {who} at {utc(latch.at_ns)}. No order is placed until it is released (Risk)."
    return StatusCell(text, "KILL IS SET", "bad", hint=f"{hint} {why}".rstrip())


def _stopped(accounts: Sequence[AccountSeen], status: EngineStatus) -> StatusCell | None:
    """Return the cell of accounts that place nothing now; None = every account may."""
    why = {
        account.account: status.not_placing[account.account]
        for account in accounts
        if account.account in status.not_placing
    }
    if not why:
        return None
    return StatusCell(
        "No new orders",
        ", ".join(why) if len(why) < 3 else count(len(why), "account"),
        "bad" if set(why) & set(status.to_release) else "warn",
        hint=" · ".join(f"{name}: {'; '.join(reasons)}" for name, reasons in why.items()),
    )


def _mode(mode: Mode | None) -> StatusCell:
    if mode is None:
        return StatusCell("Mode", "NO ACCOUNT", "dim", hint="No account is registered.")
    tone = {Mode.LIVE: "live", Mode.PAPER: "paper", Mode.DEMO: "demo"}[mode]
    return StatusCell("Mode", mode.upper(), tone, hint="All figures are for this mode.")


def _heartbeat(snapshot: FrameSnapshot, health: EngineHealth, now_ns: int) -> StatusCell:
    if snapshot.engine is None:
        return StatusCell("Engine status", "never", "dim")
    at = snapshot.engine.heartbeat_ns
    tone = {EngineHealth.RUNNING: "", EngineHealth.LATE: "warn"}.get(health, "bad")
    return StatusCell("Engine status", f"{age(now_ns - at)} old", tone, hint=utc(at))


def _equity(accounts: Sequence[AccountSeen], health: EngineHealth) -> StatusCell:
    sums: dict[str, int] = defaultdict(int)
    silent = [account.account for account in accounts if account.equity_micro is None]
    newest = max((account.equity_ns or 0 for account in accounts), default=0)
    for account in accounts:
        sums[account.currency] += account.equity_micro or 0
    if not health.alive or silent or not accounts:
        hint = f"Not reported by: {', '.join(silent)}." if silent else "Not reported now."
        if newest:
            hint += f" Last known at {moment(newest)}; see Overview."
        return StatusCell("Equity", NOTHING, "dim", hint=hint)
    value = " + ".join(micro(amount, currency) for currency, amount in sorted(sums.items()))
    return StatusCell("Equity", value, hint=f"At exit prices, {utc(newest)}")


def _budget(accounts: Sequence[AccountSeen], health: EngineHealth) -> StatusCell:
    uses = [
        (account.loss_micro / account.loss_max_micro, account)
        for account in accounts
        if account.loss_micro is not None and account.loss_max_micro
    ]
    if not health.alive or not uses:
        return StatusCell("Loss budget today", NOTHING, "dim", hint="Not reported.")
    used, worst = max(uses, key=lambda item: item[0])
    return StatusCell(
        "Loss budget today",
        f"{percent(worst.loss_micro or 0, worst.loss_max_micro or 0)} used",
        "bad" if used >= 1 else "warn" if used >= 0.7 else "",
        hint=f"{worst.account}: {micro(worst.loss_micro)} of {micro(worst.loss_max_micro)} "
        f"{worst.currency} since 00:00 UTC",
        used=min(used, 1.0),
    )


def _open(orders: OrdersSeen | None, health: EngineHealth) -> StatusCell:
    number = orders.live if orders else 0
    if health.alive:
        return StatusCell("Open orders", f"{number:,}")
    if number:
        hint = "From the journal when the engine stopped; they may still rest at the venue."
        return StatusCell("Open orders", f"{number:,} last known", "bad", hint=hint)
    return StatusCell("Open orders", NOTHING, "dim", hint="None known; no engine is checking.")


def _unknown(orders: OrdersSeen | None, now_ns: int) -> StatusCell:
    if orders is None or not orders.unknown:
        return StatusCell("Unknown orders", "none known", "dim", hint="Sent without an answer.")
    since = orders.unknown_since_ns
    value = f"{orders.unknown:,}, oldest {age(now_ns - since)}" if since else f"{orders.unknown:,}"
    hint = f"{count(orders.unknown, 'order')} sent without an answer: asked about, never resent."
    return StatusCell("Unknown orders", value, "bad", hint=hint)


def _feed(snapshot: FrameSnapshot, health: EngineHealth) -> StatusCell:
    age_ms = snapshot.status.feed_age_ms_max
    if not health.alive or age_ms is None:
        return StatusCell("Oldest feed", NOTHING, "dim", hint="Not reported.")
    tone = "bad" if age_ms > 10_000 else "warn" if age_ms > 3_000 else ""
    return StatusCell("Oldest feed", f"{age(int(age_ms * 1_000_000))} old", tone)


def _unseen(unseen: UnseenAlerts) -> StatusCell:
    """Return how many critical alerts and warnings no person has seen."""
    words = [f"{unseen.critical:,} critical"] if unseen.critical else []
    words += [count(unseen.warning, "warning")] if unseen.warning else []
    tone = "bad" if unseen.critical else "warn" if unseen.warning else "dim"
    return StatusCell("Unseen alerts", ", ".join(words) or "none", tone, hint="See Alerts.")


def unseen_words(unseen: UnseenAlerts) -> str:
    """Return what stands behind the title of the alerts in the menu, critical ones apart."""
    words = [f"{unseen.critical:,} critical"] if unseen.critical else []
    words += [f"{unseen.warning:,}"] if unseen.warning else []
    return f" ({', '.join(words)})" if words else ""


def with_watch(unseen: UnseenAlerts, found: Sequence[Notice]) -> UnseenAlerts:
    """Return the engine's unseen alerts together with what the watch found itself."""
    own = [one for one in found if one.source is NoticeSource.WATCH]
    counted = Counter(described(one.kind).severity for one in own)
    seen = [
        AlertSeen(severity=severity, kind=one.kind, text=one.text, last_ns=one.first_ns)
        for one in own
        if (severity := described(one.kind).severity) is not Severity.INFO
    ]
    newest = sorted((*unseen.newest, *seen), key=lambda one: -one.last_ns)[:NEWEST_MAX]
    return UnseenAlerts(
        critical=unseen.critical + counted[Severity.CRITICAL],
        warning=unseen.warning + counted[Severity.WARNING],
        newest=tuple(newest),
    )


def toasts(newest: Sequence[AlertSeen], now_ns: int) -> str:
    """Return what was raised in the last seconds as boxes at the lower right, each a link.

    None is drawn while KILL asks to be confirmed: nothing may lie over its question.
    """
    made = "".join(
        f'<a class="pb-alert {"pb-bad" if one.severity is Severity.CRITICAL else "pb-warn"}" '
        f'href="/alerts" target="_self"><b>{escape(one.severity.upper())} '
        f"{escape(described(one.kind).title)}</b><br>{escape(_fitted(one.text))}</a>"
        for one in newest
        if 0 <= now_ns - one.last_ns <= TOAST_NS
    )
    return f'<div class="pb-toasts" role="log">{made}</div>' if made else ""


def _fitted(text: str) -> str:
    """Return a text whole, or its first words with a sign that more of it stands on *Alerts*."""
    if len(text) <= TOAST_LENGTH_MAX:
        return text
    return text[:TOAST_LENGTH_MAX].rsplit(" ", 1)[0] + " …"


def html(shown: Sequence[StatusCell], now_ns: int, *, alive: bool) -> str:
    """Return the bar. The clock in it changes each second: the browser's watchdog looks at it."""
    parts = [f'<div class="pb-bar{"" if alive else " pb-off"}" role="status">']
    for cell in shown:
        used = "" if cell.used is None else f'<u><s style="width:{100 * cell.used:.0f}%"></s></u>'
        parts.append(
            f'<span class="pb-cell pb-{cell.tone or "plain"}" title="{escape(cell.hint)}">'
            f"<i>{escape(cell.name)}</i><b>{escape(cell.value)}</b>{used}</span>"
        )
    parts.append(
        f'<span class="pb-cell pb-dim" title="{utc(now_ns)}"><i>Server clock</i>'
        f'<b class="pb-tick">{moment(now_ns)[11:]}</b></span></div>'
    )
    return "".join(parts)


# -- The status bar: one fragment each second, and KILL in two clicks --

DAMAGED = "A row of the state is not as expected: KILL works; the dashboard's log names the row."
NO_NOTICES: list[Notice] = []
NOTHING_SEEN = FrameSnapshot(engine=None, accounts=(), orders=())


def mode_shown(modes: list[Mode]) -> Mode | None:
    chosen = st.session_state.get("mode")
    return chosen if chosen in modes else next(iter(modes), None)


def mode_here(nothing: str) -> Mode | None:
    """Return the mode to show; where there is no account, say so, and what follows of it."""
    mode = mode_shown(modes_of(ask(snapshot)))
    if mode is None:
        panels.empty(
            f"There is no account, so {nothing}.",
            "Add an account under Settings; `make run` creates a demo account.",
        )
        panels.links(panels.link("Settings", "settings"))
    return mode


def choose_mode() -> None:
    """Let the operator choose where accounts of several modes exist: they never mix."""
    none: list[Mode] = []
    modes = guard.tried("the modes", lambda: modes_of(fresh(snapshot)), none)
    if len(modes) > 1:
        follow_address(modes)
        shown = mode_shown(modes)
        fixed = [mode for mode in DANGER if mode in modes]
        # A mode that is kept needs no default, and must not have one beside it.
        index = 0 if "mode" in st.session_state or shown is None else fixed.index(shown)
        st.radio("Mode shown", fixed, index=index, key="mode", format_func=str.upper)


def follow_address(modes: list[Mode]) -> None:
    """Show the mode an address names, once per address: its figures are of that mode."""
    linked = st.query_params.get("mode")
    if linked == st.session_state.get("mode_linked"):
        return
    st.session_state["mode_linked"] = linked
    if linked in modes:
        st.session_state["mode"] = Mode(linked)


def show() -> None:
    with st.container(key="statusbar", gap="small"):
        _tick()


@st.fragment(run_every=1.0)
def _tick() -> None:
    now = now_ns()
    unreadable = html([_unreadable(DAMAGED)], now, alive=False), NOTHING_SEEN, False, DAMAGED
    shown, seen, alive, broken = guard.tried("the status bar", lambda: _seen(now), unreadable)
    with st.container(horizontal=True, wrap=False, vertical_alignment="top", gap="small"):
        st.html(shown, width="stretch")
        kill.kill_button(now)
    if broken:
        st.error(literal(broken))
    kill.show_kill(seen, alive=alive, now=now)
    latched = seen.engine is None or seen.engine.latched
    show_paused(() if latched or not alive else seen.status.killed_bots, now=now)


def _seen(now: int) -> tuple[str, FrameSnapshot, bool, str]:
    """Return the bar, what it shows, whether an engine lives, and why the state cannot be read."""
    try:
        seen, broken = fresh(snapshot), ""
    except PitbossError as error:
        seen, broken = NOTHING_SEEN, str(error)
    found = guard.tried("the watch's alerts", _of_watch, NO_NOTICES)
    seen = msgspec.structs.replace(seen, unseen=with_watch(seen.unseen, found))
    alive = health_of(seen.engine, now).alive
    shown = cells(seen, read_latch(config().kill_path), mode_shown(modes_of(seen)), now)
    if broken:
        shown[0] = _unreadable(broken)
    above = browser_alerts.marks(seen.unseen.newest)
    above += "" if kill.armed(now) else toasts(seen.unseen.newest, now)
    return html(shown, now, alive=alive) + above, seen, alive, broken


def _of_watch() -> list[Notice]:
    with watch.reading_watch(config().home) as connection:
        return watch.unseen(connection) if connection else NO_NOTICES


def unseen_now() -> UnseenAlerts:
    """Return the unseen alerts, for the menu; none where they cannot be read."""
    seen = guard.tried("the alerts", lambda: fresh(snapshot).unseen, UnseenAlerts())
    return with_watch(seen, guard.tried("the watch's alerts", _of_watch, NO_NOTICES))


def _unreadable(broken: str) -> StatusCell:
    return StatusCell("Engine", "STATE UNREADABLE", "bad", hint=broken)


# -- after a KILL was released: which bots it paused, and one question to resume them all ----------

ASKED_NS_MAX = 15 * SECOND_NS
"""A question without an answer closes itself."""

NAMED_MAX = 5
"""So many bots are named; the others are counted."""

RESUME_SLOT = "resume_killed"


@guard.part("Bots paused by KILL")
def show_paused(bots: tuple[str, ...], *, now: int) -> None:
    """Draw which bots a KILL has paused; the first click says what the second one does."""
    if bots:
        _draw_paused(bots, now)
    commands.show_progress(RESUME_SLOT)


def _draw_paused(bots: tuple[str, ...], now: int) -> None:
    more = f" and {len(bots) - NAMED_MAX:,} more" if len(bots) > NAMED_MAX else ""
    named = literal(", ".join(bots[:NAMED_MAX])) + more
    asked_ns = st.session_state.get("resume_asked_ns")
    asked = asked_ns is not None and 0 <= now - asked_ns <= ASKED_NS_MAX
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        if not asked:
            st.markdown(f"**{count(len(bots), 'bot')} paused by KILL**: {named}.")
            if st.button("Resume all", key="resumeall"):
                st.session_state["resume_asked_ns"] = now
                st.rerun(scope="fragment")
            return
        st.markdown(f"**Resume {named}?** Each quotes again as soon as its account is ready.")
        if st.button("RESUME ALL", key="resumeconfirm", type="primary"):
            commands.send(ResumeKilled(), RESUME_SLOT)
            st.session_state.pop("resume_asked_ns")
            st.rerun(scope="fragment")
        if st.button("Keep them paused", key="resumekeep"):
            st.session_state.pop("resume_asked_ns")
            st.rerun(scope="fragment")
