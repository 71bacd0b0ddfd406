"""Every market a venue lists: searched, filtered, sorted; its terms.

Bid, ask, volume and rewards are the venue's own listing, some minutes old: nothing is traded by it.

Changes: fetch the list; watch lists; filters.
"""

from __future__ import annotations

import json

import streamlit as st

from engine.domain.commands import RunJob
from engine.domain.instruments import Kind
from engine.domain.jobs import arguments_of
from engine.domain.jobs.markets import MarketsJob
from engine.domain.listings import KINDS, ListingState
from engine.domain.plain import PlainDict
from engine.domain.settings import MarketFilter, SettingsDocument, SortedBy
from engine.errors import BadInput
from pages import Page
from pages.kit import commands, drafts, guard, panels
from pages.kit.data import ask, engine_id
from pages.kit.home import config, now_ns
from pages.kit.markdown import literal
from pages.kit.panels import panel
from pages.kit.tables import Col, ColKind, choice, columns_of, page_behind, turn
from pages.kit.words import age, count
from pages.shared import job, listing
from pages.shared.listing import asked, terms
from storage.catalog import venues
from storage.jobs import schedule
from storage.markets import categories, listings, market, matching, search
from storage.settings import in_force
from storage.views import Row
from storage.views.frame import snapshot

PAGE = Page("Markets", ":material/travel_explore:", "Trade", 4)

COLUMNS = columns_of(
    Col("question", "Market", ColKind.LONG),
    Col("ends_ns"),
    Col("bid", kind=ColKind.PRICE),
    Col("ask", kind=ColKind.PRICE),
    Col("spread", kind=ColKind.PRICE),
    Col("volume_24h", "Volume 24 h", ColKind.RATE),
    Col("liquidity", kind=ColKind.RATE),
    Col("rewards_daily", "Rewards per day", ColKind.RATE),
    Col("state"),
    Col("event"),
    Col("category"),
)
SHOWN = 200
"""Markets on one page of the table."""

SORTED = {
    SortedBy.VOLUME: "Volume 24 h",
    SortedBy.LIQUIDITY: "Liquidity",
    SortedBy.REWARDS: "Rewards per day",
    SortedBy.ENDS: "Ends next",
}
STATES = {
    "Open": (ListingState.ACTIVE,),
    "Awaiting outcome": (ListingState.ENDED, ListingState.PROPOSED, ListingState.DISPUTED),
    "Resolved or gone": (ListingState.RESOLVED, ListingState.UNLISTED),
    "All": tuple(ListingState),
}
ALL = "all"
REFRESH_S = 5.0
SLOT = "fetch_markets"


def shown(row: Row) -> PlainDict:
    """Return a market as a row of the table; no rewards are nothing."""
    bid, ask_ = row["bid"], row["ask"]
    return {
        **row,
        "kind": KINDS.get(row["category"], Kind.BINARY),
        "state": row["state"].upper(),
        "spread": None if bid is None or ask_ is None else round(ask_ - bid, 6),
        "rewards_daily": row["rewards_daily"] or None,
    }


@st.cache_data(ttl=REFRESH_S - 1, max_entries=4, show_spinner=False)
def _listings(path: str) -> list[Row]:
    del path  # the key of the cache
    return asked(listings)


@st.cache_data(ttl=30.0, max_entries=4, show_spinner=False)
def _categories(path: str) -> list[str]:
    del path
    return asked(categories)


@st.fragment(run_every=REFRESH_S)
@guard.part("The state of the listing")
def show_listing(*, searched: bool) -> None:
    """Say how old the list is, with the button that fetches it; `searched` = the search shows."""
    path = config().markets_path
    known = _listings(str(path)) if path.is_file() else []
    if known and not searched:
        st.rerun()  # the first page of the list has come: the search belongs below
    for one in known:
        panels.note(describe(one, now_ns()))
    if not known:
        panels.empty(
            "No list of markets has been fetched yet.",
            "The worker fetches them all as soon as an account trades at a venue that lists them, "
            "Polymarket's some 80,000 in one to two minutes, and later stores only changes. No key "
            "is needed; this list is not used to trade.",
        )
    if commands.engine_runs():
        venue = _listed_by()
        found = MarketsJob(venue=venue).model_dump()
        by = _scheduled(found)
        button, words = st.columns([1, 6], vertical_alignment="center")
        if button.button("Fetch the list", key="fetch"):
            commands.send(RunJob(job=MarketsJob.kind(), arguments=json.dumps(found)), SLOT)
        with words:
            panels.links(
                panels.link("Progress and schedule: Jobs", "jobs"),
                f"the schedule fetches it, by its entry “{literal(by)}”"
                if by
                else "switch on its schedule's entry “markets” to fetch it every five minutes",
            )
    else:
        commands.note_no_engine()
    job.show_progress(SLOT)


def _scheduled(wanted: PlainDict) -> str:
    """Return the first entry of the schedule that is due and fetches this list, '' = there is none.

    An entry says its job in the settings, and whether it is due in what the engine reports.
    """
    entries = ask(in_force, engine_id()).document.schedule
    for row in ask(schedule, engine_id()):
        entry = entries.get(row["name"])
        if entry is None or entry.job != MarketsJob.kind() or row["next_ns"] is None:
            continue
        try:
            given = arguments_of(entry.job, json.dumps(entry.arguments))
        except BadInput:
            continue  # the row of the schedule says what is wrong with it
        if given.model_dump() == wanted:
            return str(row["name"])
    return ""


def _listed_by() -> str:
    """Return whose list is fetched: chosen where several venues have one, ours first."""
    ours = {one.venue for one in ask(snapshot).accounts}
    titles = {key: one.title for key, one in ask(venues, engine_id()).items() if one.lists}
    usual = MarketsJob().venue
    names = sorted(titles, key=lambda one: (one not in ours, one != usual, one))
    if len(names) < 2:
        return names[0] if names else usual
    chosen = st.selectbox(
        "Listed by", names, format_func=lambda one: titles[one], key="markets_venue", width=240
    )
    return str(chosen)


def describe(known: Row, now: int) -> str:
    """Return how old a venue's list is and how much is in it."""
    title = {**ask(venues, engine_id())}.get(known["venue"])
    name = title.title if title is not None else known["venue"]
    done = known["finished_ns"]
    when = f"complete {age(now - done)} ago" if done else "not complete yet"
    going = ", fetch running or interrupted: the next one continues" * bool(known["under_way"])
    return f"{name}: {count(known['markets'], 'market')}, {when}{going}"


FIELDS = {
    "text": "markets_text",
    "sorted_by": "markets_sort",
    "category": "markets_category",
    "volume_24h_min": "markets_volume",
    "pays_rewards": "markets_rewards",
}
"""What of a filter a person sets, and the widget it is set by."""


def wanted() -> tuple[MarketFilter, tuple[str, ...] | None]:
    """Draw the search; return what is looked for, and among which markets; None = all."""
    words, state, sort = st.columns([4, 3, 2], vertical_alignment="bottom")
    text = words.text_input(
        "Search", placeholder="words from question, event, series or category", key=FIELDS["text"]
    )
    chosen = state.segmented_control("State", list(STATES), default="Open", required=True)
    by = sort.selectbox(
        "Sort by", list(SORTED), format_func=SORTED.__getitem__, key=FIELDS["sorted_by"]
    )
    category_, least, rewards, lists = st.columns([3, 2, 2, 2], vertical_alignment="bottom")
    named = [ALL, *_categories(str(config().markets_path))]
    category = category_.selectbox("Category", named, key=FIELDS["category"])
    volume = least.number_input(
        "Volume 24 h, at least", min_value=0.0, step=1_000.0, key=FIELDS["volume_24h_min"]
    )
    mine = listing.my_lists()
    watched = lists.selectbox("Watch list", [ALL, *mine], key="markets_list")
    pays = rewards.toggle("Pays rewards", key=FIELDS["pays_rewards"])
    looked_for = MarketFilter(
        text=text,
        states=STATES[chosen or "Open"],
        category="" if category == ALL else category,
        pays_rewards=pays,
        volume_24h_min=volume,
        sorted_by=by,
    )
    return looked_for, mine.get(watched)


@guard.part("The saved filters")
def show_filters(looked_for: MarketFilter) -> None:
    """Draw the saved filters, what each finds now and who follows it; save or remove one."""
    base = drafts.newest()
    with panel("Saved filters", "fold_filters", icon=":material/filter_alt:") as opened:
        if not opened:
            return
        panels.note(
            "A bot may follow one: it trades the open markets the filter finds, up to its own "
            "maximum. In a market that leaves the filter it only reduces."
        )
        panels.facts(
            {
                name: f"{in_words(one)} · {count(asked(matching, one), 'market')} now · "
                f"{followers(base.document, name)}"
                for name, one in base.document.filters.items()
            }
        )
        with st.container(horizontal=True, vertical_alignment="bottom"):
            name = st.text_input("Save this search as", key="filter_name", width=240)
            if st.button("Save the filter…", key="filter_save", disabled=not name.strip()):
                kept = looked_for.model_copy(update={"states": (ListingState.ACTIVE,)})
                made = {"filters": {name.strip(): kept.model_dump(mode="json")}}
                drafts.draft("markets", made, base)
            known = list(base.document.filters)
            which = st.selectbox("Saved filter", known, index=None, key="filter_which", width=240)
            st.button("Use it", on_click=_search_by, disabled=which is None)
            if st.button("Remove it…", disabled=which is None):
                drafts.draft("markets", {"filters": {which: None}}, base)
        drafts.review("markets")
        drafts.show_version()


def _search_by() -> None:
    """Set the search to a saved filter's."""
    one = drafts.newest().document.filters.get(st.session_state["filter_which"])
    for field, key in FIELDS.items() if one is not None else ():
        value = getattr(one, field)
        st.session_state[key] = ALL if field == "category" and not value else value


def in_words(one: MarketFilter) -> str:
    parts = [f'"{one.text}"'] if one.text else []
    parts += [f"category {one.category}"] if one.category else []
    parts += [f"volume 24 h of {one.volume_24h_min:,.0f} or more"] if one.volume_24h_min else []
    parts += ["pays rewards"] if one.pays_rewards else []
    return f"{', '.join(parts) or 'all open markets'}, by {SORTED[one.sorted_by].lower()}"


def followers(document: SettingsDocument, name: str) -> str:
    """Return which bots follow a filter, by the settings as saved."""
    bots = [one for one in document.bots.values() if one.follows == name]
    names = ", ".join(f"{one.name} (at most {one.instruments_max})" for one in bots)
    return f"followed by {names}" if names else "followed by no bot"


@guard.part("The list of markets")
def show_found() -> None:
    """Draw what the search finds, page by page, and the selected market in full."""
    looked_for, among = wanted()
    show_filters(looked_for)
    behind = page_behind("markets", (looked_for, among))
    found = asked(matching, looked_for, among)
    rows = asked(search, looked_for, behind, SHOWN, among=among)
    by = (looked_for.sorted_by.value, "number")
    turn("markets", rows, by, rows_max=SHOWN, labels=("Next", "Back"))
    if not rows:
        panels.empty(
            "No market found.",
            "Every word must match; the last may be the start of a word. Try fewer words or All.",
        )
        return
    panels.note(count(found, "market"))
    chosen = choice(
        [shown(row) for row in rows], COLUMNS, key="markets", ids=[row["id"] for row in rows]
    )
    if chosen is None:
        panels.note("Select a row for its rules and terms.")
    else:
        show_one(str(chosen))


@guard.part("The market")
def show_one(identifier: str) -> None:
    """Draw one market: its terms, and the rules by which it resolves."""
    row = asked(market, identifier)
    if row is None:
        panels.note("This market is no longer in the list.")
        return
    st.subheader(literal(row["question"]))
    panels.links(
        panels.link("Book, ticket and history of this market", "market", instrument=identifier)
    )
    listing.show_watch(identifier)
    panels.facts(terms(row))
    st.markdown("**Rules**")
    st.text(row["description"] or "The venue's listing gives no rules.")


@guard.part("This page")
def main() -> None:
    """Draw the page."""
    panels.head("Markets", "The venue's own listing, minutes old; not used to trade")
    searched = config().markets_path.is_file()
    show_listing(searched=searched)
    if searched:
        show_found()
