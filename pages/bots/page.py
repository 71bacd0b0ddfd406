"""What each bot does and why, its orders, markouts and settings.

A bot is a strategy with markets, an account, capital and parameters. ERROR means that an error
stopped this one; the others go on.

Changes: start, pause, stop, KILL, mode, settings.
"""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path

import streamlit as st

from engine.domain.bots import TRANSITIONS, BotHappened, BotState
from engine.domain.commands import InventoryPolicy, PauseBot, ResumeBot, StartBot, StopBot
from engine.domain.decisions import Decision, Planned, Stance
from engine.domain.instruments import BotId, Mode
from engine.domain.intents import Basket, Intent, Target
from engine.domain.plain import PlainDict, PlainView
from engine.domain.settings import SettingsDocument
from engine.domain.telemetry import WatchedMarket
from pages import Page
from pages.bots import edit, wizard
from pages.kit import commands, drafts, forms, guard, links, panels
from pages.kit.data import ask, engine_id
from pages.kit.home import config, now_ns
from pages.kit.markdown import literal
from pages.kit.names import UNLISTED, market, price, price_raw, size_raw
from pages.kit.panels import Tile
from pages.kit.tables import Col, ColKind, choice, choose, columns_of, unchoose
from pages.kit.words import NOTHING, SECOND_NS, age, count, moment
from pages.shared import evidence, losses, markouts, order, pnl, why
from pages.shared.standing import RUNNING, Standing, rest_words, standing
from storage import views
from storage.decisions import StoredDecision, decisions_until, latest_decisions, plans_at
from storage.live import books, watched_by
from storage.settings import SettingsVersion
from storage.views import Row
from storage.views.decision_history import EvaluationSpan, outcomes, timeline
from storage.views.drill_down import orders_behind
from storage.views.frame import listings_of, live_orders_of

PAGE = Page("Bots", ":material/smart_toy:", "Trade", 1)

COLUMNS = columns_of(
    Col("name", "Bot"),
    Col("state"),
    Col("mode"),
    Col("total", "PnL", ColKind.GAIN),
    Col("today", kind=ColKind.GAIN),
    Col("live", "Open orders", ColKind.COUNT),
    Col("capital", kind=ColKind.MONEY),
    Col("strategy"),
    Col("account"),
    Col("evaluations", kind=ColKind.COUNT),
    Col("error"),
    Col("reported"),
)
REFRESH_S = 2.0
COUNTED_FROM_NS = 120 * SECOND_NS
NOT_REPORTED = "SAVED, NOT REPORTED"


def rows_of(document: SettingsDocument, *, alive: bool) -> list[PlainDict]:
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
            "life": row["state"].upper() if alive else f"{row['state'].upper()} (last known)",
            "mode": row["mode"].upper(),
            "live": live.get(row["name"], 0),
            "reported": _since(now_ns() - row["updated_ns"]),
        }
        for row in ask(views.bots, engine_id())
    }
    for name, row in found.items():
        stands = standing(name, now_ns()) if row["life"] == RUNNING else Standing(row["life"])
        row |= {"state": stands.said, "stands": stands}
    for name, bot in document.bots.items():
        account = document.accounts.get(bot.account)
        blank: PlainDict = dict.fromkeys((*COLUMNS, "currency"))
        saved = {
            "name": name,
            "state": NOT_REPORTED,
            "life": NOT_REPORTED,
            "stands": Standing(NOT_REPORTED),
            "mode": account.mode.upper() if account else None,
            "account": bot.account,
            "strategy": bot.strategy,
            "capital": bot.capital,
        }
        found.setdefault(name, blank | saved)
    return [found[name] for name in sorted(found)]


def _since(ns: int) -> str:
    """Return how old a report is, in minutes: in seconds, the table would be sent each time."""
    return "< 2 min ago" if 0 <= ns < COUNTED_FROM_NS else f"{age(ns)} ago"


@st.fragment(run_every=REFRESH_S)
@guard.part("The list of bots")
def show_bots() -> None:
    """Draw the bots as they stand, anew every few seconds, and the selected one."""
    alive = commands.engine_runs("no bot trades")
    base = drafts.newest()
    rows = rows_of(base.document, alive=alive)
    if not rows:
        panels.empty(
            "There is no bot yet.",
            "Bots an engine reports or that are saved here appear as rows. Create one above.",
        )
        return
    follow_address({row["name"] for row in rows})
    chosen = choice(rows, COLUMNS, key="bots", ids=[row["name"] for row in rows])
    name_in_address(chosen)
    bot = next((row for row in rows if row["name"] == chosen), None)
    if bot is None:
        panels.note("Select a row to start or stop a bot, to see why it quotes, and its orders.")
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
    """Draw the page, or the wizard where the address asks for a new bot."""
    if "create" in st.query_params:
        wizard.show()
        return
    panels.head("Bots", "A few seconds old; refreshed every 2 s")
    drafts.show_version()
    wizard.start_begun()
    wizard.offer()
    show_bots()
    edit.show_removed()
    commands.show_question()
    edit.show()
    drafts.review("bots")


# -- One bot: what it may do now, its settings, and the books its orders rest in -------------------

POLICIES = {
    InventoryPolicy.HOLD: "keep it",
    InventoryPolicy.WORK_OUT: "reduce it passively until flat",
    InventoryPolicy.EXIT: "sell it now within the slippage cap",
}
NOW, BEFORE = "Now", "Evaluations"


def takes(bot: PlainView, asked: BotHappened) -> bool:
    try:
        return (BotState(str(bot["life"]).lower()), asked) in TRANSITIONS
    except ValueError:
        return False  # saved only, or the last word of an engine that is gone


@guard.part("The bot")
def show_bot(bot: PlainView, base: SettingsVersion, *, alive: bool) -> None:
    st.subheader(literal(bot["name"]))
    panels.note(
        f"{bot['state']} · {bot['mode'] or 'no account'} · {bot['strategy']} at {bot['account']}"
    )
    if bot["stands"].why:
        panels.note(bot["stands"].why)
    if bot["mode"]:
        figures(bot, Mode(str(bot["mode"]).lower()))
    if bot["error"]:
        st.error(f"It stopped by itself: {literal(bot['error'])}")
    evidence.note(str(bot["strategy"]))
    if alive and bot["evaluations"] is not None:
        _actions(bot)
        edit.show_mode(bot, base.document)
    elif alive:
        panels.note("The engine does not know this bot: apply the saved settings first.")
    else:
        commands.note_no_engine()
    commands.show_progress(f"bot:{bot['name']}")
    if alive and bot["evaluations"] is not None:
        _about(bot)
    elif bot["evaluations"] is not None:
        show_before(bot["name"])
    if bot["mode"]:
        markouts.show(Mode(str(bot["mode"]).lower()), str(bot["name"]))
        losses.of(Mode(str(bot["mode"]).lower()), str(bot["name"]))
    saved = base.document.bots.get(bot["name"])
    if saved is not None:
        # A bot the engine does not know is only saved: nothing of it works.
        rests = bot["evaluations"] is None or (alive and takes(bot, BotHappened.START_ASKED))
        edit.show_saved(saved.model_dump(mode="json"))
        edit.show_history(str(bot["name"]))
        edit.offer(str(bot["name"]), base, rests=rests)


@guard.part("The bot's results")
def figures(bot: PlainView, mode: Mode) -> None:
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
    parts = ["realised", "unrealised", "fees"]
    if any(row["funding"] for row in mine):
        parts.insert(2, "funding")
    for key in parts:
        value = pnl.sum_of(mine, key, currency, signed=key != "fees")
        shown.append(Tile(key.capitalize(), value, fills))
    shown.append(
        Tile("Open orders", f"{bot['live'] or 0:,}", links.orders(links.WORKING, mode, **only))
    )
    panels.tiles(shown)


@guard.part("The bot's state")
def _about(bot: PlainView) -> None:
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
            at_moment(name, st.query_params.get("market", ""), int(at))
        show_before(name)
        return
    show_now(name, now_ns(), state=str(bot["life"]))
    _books(bot)


@guard.part("The bot's commands")
def _actions(bot: PlainView) -> None:
    name = BotId(bot["name"])
    slot = f"bot:{name}"
    with st.container(horizontal=True):
        for label, asked, command in (
            ("Start", BotHappened.START_ASKED, StartBot(bot=name)),
            ("Pause", BotHappened.PAUSE_ASKED, PauseBot(bot=name)),
            ("Resume", BotHappened.RESUME_ASKED, ResumeBot(bot=name)),
        ):
            key = f"{label.lower()}_{name}"
            if label == "Start" and takes(bot, asked) and _needs_reason(bot):
                _start_loser(bot, slot)
                continue
            if st.button(label, disabled=not takes(bot, asked), key=key):
                commands.send(command, slot)
        if takes(bot, BotHappened.STOP_ASKED):
            with st.popover("Stop…", key=f"fold_stop_{name}"):
                _stop(bot, slot)


def _needs_reason(bot: PlainView) -> bool:
    """Say whether real money is to follow what loses by the evidence."""
    return bot["mode"] == Mode.LIVE.upper() and evidence.loses(str(bot["strategy"]))


def _start_loser(bot: PlainView, slot: str) -> None:
    """Ask why real money is to follow what loses by the evidence; the engine asks the same."""
    name, strategy = str(bot["name"]), str(bot["strategy"])
    with st.popover("Start…", key=f"fold_start_{name}"):
        reason = forms.reason_asked(
            f"reason_{name}",
            f"{strategy} loses by its evidence. Why start it with REAL MONEY?",
            "Start with real money",
        )
        if reason:
            commands.send(StartBot(bot=BotId(name), reason=reason), slot)


def _stop(bot: PlainView, slot: str) -> None:
    st.markdown(
        f"Cancels {count(bot['live'], 'open order')} of **{literal(bot['name'])}** in "
        f"{literal(bot['mode'])}, proves that none is left, then handles its inventory:"
    )
    policy = st.radio(
        "Inventory", list(POLICIES), format_func=POLICIES.__getitem__, key=f"policy_{bot['name']}"
    )
    if st.button("Stop the bot", type="primary", key=f"stop_{bot['name']}"):
        commands.send(StopBot(bot=BotId(bot["name"]), inventory=policy), slot)


@guard.part("The bot's books")
def _books(bot: PlainView) -> None:
    mode = Mode(str(bot["mode"]).lower())
    ours = ask(orders_behind, engine_id(), mode=mode, open_only=True, bot=str(bot["name"]))
    parts = []
    keys = tuple(sorted({(row["account"], row["instrument"]) for row in ours}))
    for key, book in sorted(ask(books, engine_id(), keys).items()):
        mine = [row for row in ours if (row["account"], row["instrument"]) == key]
        parts.append((market(key[1]), order.book_table(book, mine, mine[0])))
    st.markdown("**Books with its orders**")
    if parts:
        st.html(why.blocks(parts))
    else:
        panels.note("None of its orders rests in a book that is shown now.")


# -- Why it trades or does not: the latest evaluation of each of its markets -----------------------

NOW_COLUMNS = columns_of(
    Col("market"),
    Col("standing", "Now"),
    Col("fair", "Fair value"),
    Col("would", "What holds it back", ColKind.LONG),
    Col("left", "Why not placed"),
    Col("again", "Same since"),
)
WORDS = {
    Stance.QUOTE: "new quotes",
    Stance.TARGET: "new target",
    Stance.HOLD: "unchanged",
    Stance.BLOCKED: "wants nothing",
}


@guard.part("Why the bot trades")
def show_now(bot: str, now: int, *, state: str) -> None:
    """Draw a row per watched market, and the whole evaluation of the selected one."""
    st.markdown("**Why it trades, or does not**")
    watched = ask(watched_by, engine_id(), bot)
    if not watched:
        panels.note("It watches no market now: none of its markets or series is listed.")
        return
    watching = [one.instrument for one in watched]
    stored = latest_decisions(config().decisions_path, bot=bot, instruments=watching)
    listed = ask(listings_of, engine_id(), tuple(watching))
    words = why.vocabulary()
    bars = edit.bars_of(bot)
    rows = [
        _now_row(one, stored.get(one.instrument), listed.get(one.instrument), words, now=now)
        for one in watched
    ]
    for row, of in zip(rows, map(stored.get, watching), strict=True):
        row["would"] += why.last_bar(of.latest, bars, now) if of and row["would"] else ""
    if state != RUNNING:
        rows = [_asleep(row, state) for row in rows]
    chosen = choice(rows, NOW_COLUMNS, key=f"why_{bot}", ids=list(watching))
    found = stored.get(str(chosen))
    if found is None:
        panels.note("Select a market for its inputs, fair value, gates and what it wants.")
        return
    decision = found.latest
    row = listed.get(decision.instrument, UNLISTED)
    st.markdown(literal(why.because(decision, None, row, words)))
    panels.note(order.decision_note(found))
    if found.last_body:
        panels.note(f"It decided the same since; the numbers are those of {moment(decision.at_ns)}")
    st.html(why.blocks(why.decided(decision, row, words)))


def _now_row(
    watched: WatchedMarket,
    stored: StoredDecision | None,
    listed: Row | None,
    words: why.Vocabulary,
    *,
    now: int,
) -> Row:
    row: Row = {"market": market(watched.instrument), "left": _left(watched)}
    if watched.reduce_only:
        return row | {
            "standing": "reduces only",
            "fair": NOTHING,
            "would": "it left the filter the bot follows: its position is being reduced",
            "again": NOTHING,
        }
    if stored is None:
        return row | {
            "standing": "not evaluated yet",
            "fair": NOTHING,
            "would": "",
            "again": NOTHING,
        }
    decision = stored.latest
    if watched.rest is not None and now < watched.rest.until_ns:
        stands = {"standing": WORDS[decision.stance], "would": rest_words(watched.rest)}
    else:
        stands = {"standing": WORDS[decision.stance], "would": why.would_trade(decision, words)}
    if decision.stance is Stance.BLOCKED:
        row["left"] = ""  # nothing is wanted: what an older intent left over says nothing now
    fair = dict(decision.build_up).get("fair")
    binary = (listed or UNLISTED)["listed_kind"] == "binary"
    times = f", {stored.count:,}\N{MULTIPLICATION SIGN}" if stored.count > 1 else ""
    return (
        row
        | stands
        | {
            "fair": price(fair, in_cents=binary),
            "again": f"{age(max(0, now - stored.at_ns))}{times}",
        }
    )


def _asleep(row: Row, state: str) -> Row:
    """Return a row of a bot that is not evaluated: what it wanted last is no intent of now."""
    return row | {
        "standing": WORDS[Stance.BLOCKED],
        "fair": NOTHING,
        "would": f"the bot is {state}; select the row for its last evaluation",
        "left": "",
    }


def _left(watched: WatchedMarket) -> str:
    words = [why.left_words(reason) for reason in watched.left]
    if watched.denied:
        words.append(f"risk denied: {why.plain(watched.denied)}")
    return "; ".join(words)


# -- Its evaluations over time: what it did and did not do, repeats as one row, and why ------------

TIMELINE_COLUMNS = columns_of(
    Col("at_ns", "From"),
    Col("lasted"),
    Col("times", kind=ColKind.COUNT),
    Col("market"),
    Col("did", "What it wants"),
    Col("fair", "Fair value"),
    Col("why", "Why not", ColKind.LONG),
)
ALL, STANDING, NOT = "All", "Wants something", "Wants nothing"
KINDS = {ALL: None, STANDING: True, NOT: False}
ANY = "any reason"


@st.cache_data(ttl=4.0, max_entries=64, show_spinner=False)
def _stretches(
    path: Path, bot: str, outcome: str | None, standing: bool | None
) -> list[EvaluationSpan]:
    return timeline(path, bot=bot, outcome=outcome, standing=standing)


@st.cache_data(ttl=10.0, max_entries=64, show_spinner=False)
def _reasons(path: Path, bot: str) -> dict[str, int]:
    return outcomes(path, bot=bot, standing=False)


@guard.part("Past evaluations")
def show_before(bot: str) -> None:
    """Draw a bot's latest evaluations, those that fit the filter, and the selected one."""
    path = config().decisions_path
    words = why.vocabulary()
    kind, outcome = _filter(_reasons(path, bot), bot, words)
    found = _stretches(path, bot, outcome, KINDS[kind])
    if not found:
        panels.empty(
            "No evaluation matches.",
            "A running bot evaluates on every move of its markets; choose All, or start it above.",
        )
        return
    listed = ask(listings_of, engine_id(), tuple(sorted({one.instrument for one in found})))
    panels.note(
        f"{count(sum(one.count for one in found), 'evaluation')} in {count(len(found), 'row')}, "
        "the latest first: identical ones in a row are merged, with count and duration · from the "
        "decision log, new rows within 6 s, counts within 15 s"
    )
    rows = [_row(one, listed.get(one.instrument, UNLISTED), words) for one in found]
    ids = [(one.instrument, one.first.number) for one in found]
    chosen = choice(rows, TIMELINE_COLUMNS, key=f"timeline_{bot}", ids=ids)
    one = next((one for one, key in zip(found, ids, strict=True) if key == chosen), None)
    if one is None:
        panels.note(
            "Select a row for its inputs, fair value, gates, what it wants and what was done."
        )
        return
    evaluation(one.first, listed.get(one.instrument, UNLISTED))


def _filter(reasons: dict[str, int], bot: str, words: why.Vocabulary) -> tuple[str, str | None]:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kind = st.segmented_control(
            "Show", tuple(KINDS), default=ALL, key=f"timeline_kind_{bot}", required=True
        )
        if kind != NOT or not reasons:
            return str(kind), None
        reason = st.selectbox(
            "Reason",
            [ANY, *reasons],
            format_func=lambda name: (
                ANY if name == ANY else f"not: {words.gate(name).holds} ({reasons[name]:,})"
            ),
            key=f"timeline_reason_{bot}",
        )
    return str(kind), None if reason in (ANY, None) else str(reason)


def _row(one: EvaluationSpan, listed: Row, words: why.Vocabulary) -> PlainDict:
    fair = dict(one.first.build_up).get("fair")
    return {
        "at_ns": one.first_ns,
        "lasted": age(one.last_ns - one.first_ns) if one.count > 1 else "once",
        "times": one.count,
        "market": market(one.instrument),
        "did": levels(one.intent, listed) if one.stance is not Stance.BLOCKED else "nothing",
        "fair": price(fair, in_cents=listed["listed_kind"] == "binary"),
        "why": why.would_trade(one.first, words),
    }


def levels(intent: Intent | None, listed: Row) -> str:
    if intent is None:
        return "what it wanted before"
    if isinstance(intent, Basket):
        return " and ".join(levels(target, listed) for target in intent.targets)
    if isinstance(intent, Target):
        return (
            f"hold {size_raw(intent.position, listed)}, "
            f"no worse than {price_raw(intent.limit_price, listed)}"
        )
    quotes = [
        f"bid {price_raw(p, listed)} \N{MULTIPLICATION SIGN} {size_raw(s, listed)}"
        for p, s in intent.bids
    ]
    quotes += [
        f"ask {price_raw(p, listed)} \N{MULTIPLICATION SIGN} {size_raw(s, listed)}"
        for p, s in intent.asks
    ]
    return " \N{MIDDLE DOT} ".join(quotes) or "no quotes"


# -- one evaluation --------------------------------------------------------------------------------


def evaluation(decision: Decision, listed: Row) -> None:
    """Draw one evaluation whole, with what the executor did about it. Nothing is left out."""
    plan, words = _plan_of(decision), why.vocabulary()
    st.markdown(literal(why.because(decision, plan, listed, words)))
    parts = why.decided(decision, listed, words)
    if plan is not None:
        parts += why.planned(plan, listed)
    st.html(why.blocks(parts))
    if plan is None:
        panels.note(
            "No order was changed: the resting orders already matched, or there was nothing to "
            "place or cancel."
        )


def _plan_of(decision: Decision) -> Planned | None:
    found = plans_at(config().decisions_path, instrument=decision.instrument, at_ns=decision.at_ns)
    own = [plan for plan in found if plan.decision in (0, decision.number)]
    return next(iter(own), None)


@guard.part("The evaluations until then")
def at_moment(bot: str, instrument: str, at_ns: int) -> None:
    """Draw what a bot had decided about a market at a moment: where links of alerts lead."""
    before = decisions_until(config().decisions_path, instrument=instrument, at_ns=at_ns, bot=bot)
    st.markdown(
        f"**What {literal(bot)} had decided about {literal(market(instrument))} until then**"
    )
    if not before:
        panels.empty(
            "Nothing is stored from that time.",
            "The decision log keeps the latest gigabyte; the journal keeps every order and fill.",
        )
        return
    listed = ask(listings_of, engine_id(), (instrument,)).get(instrument, UNLISTED)
    panels.note(order.decision_note(before[0]))
    evaluation(before[0].decision, listed)
