"""A new bot in steps, kept in the home as they are typed: the one way a page makes a bot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec
import streamlit as st

from engine.domain.catalog import StrategyEntry
from engine.domain.commands import ApplySettings, StartBot
from engine.domain.instruments import BotId, Mode
from engine.domain.limits import LIMITS
from engine.domain.settings import (
    AccountSettings,
    BotSettings,
    SettingsDocument,
    Sizing,
    SizingMethod,
    capital_micro,
    first_equity_micro,
)
from engine.errors import PitbossError
from pages.bots.edit import followed, traded_by
from pages.kit import commands, drafts, forms, guard, names, panels
from pages.kit.data import ask, engine_id
from pages.kit.home import config, now_ns, this_minute
from pages.kit.markdown import literal
from pages.kit.words import age, micro
from pages.risk import shown as limit_words
from pages.runs import preview
from pages.shared import evidence, probe
from pages.shared.bot_draft import (
    OWN,
    STEPS,
    begun,
    lacking,
    of_bot,
    of_run,
    presets,
    settings_of,
    suggested,
)
from storage import views
from storage.bot_drafts import BOT_DRAFTS, BotDraft
from storage.catalog import venues
from storage.database import reading, writing
from storage.live import latest_equity
from storage.settings import Saved, SettingsVersion, Stale, in_force
from storage.views.frame import run_engines, tradable

REVIEW = len(STEPS) - 1
LIMITS_SHOWN = ("exposure_bot_max", "exposure_instrument_max", "daily_loss_max", "drawdown_max")
SIZED_BY: Mapping[SizingMethod, Sequence[str]] = {
    SizingMethod.CAPITAL: (),
    SizingMethod.FIXED: ("amount",),
    SizingMethod.PERCENT: ("percent",),
    SizingMethod.VOLATILITY: ("volatility", "window_s"),
    SizingMethod.KELLY: ("kelly", "position_max", "risk_percent", "confidence_min"),
}
"""The fields of a sizing that its method reads."""
OPEN, SAVED = "wizard", "wizard_saved"
FOCUS = """
if (!window.pbWizard) {
  window.pbWizard = true;
  let done = "", seen = "", since = 0;
  setInterval(() => {
    const mark = document.querySelector("[class*=st-key-wizard_focus_]");
    const open = mark ? mark.className.match(/wizard_focus_[0-9]+/)[0] : "";
    if (open === done) { return; }
    if (open !== seen) { seen = open; since = Date.now(); }
    const at = document.activeElement, step = document.querySelector(".st-key-wizard_step");
    const free = at === document.body || at.closest("[class*=st-key-wizard_]");
    const field = step && (step.querySelector(
      "input:checked, input:not([type=radio]), textarea") || step.querySelector("button"));
    if (open && field && free) { field.focus(); }
    if (!open || field || !free || Date.now() - since > 20000) { done = open; }
  }, 200);
  // A field gives what was typed in it when it is left: before the shortcut presses the button.
  document.addEventListener("keydown", event => {
    const at = document.activeElement;
    if (event.altKey && event.code === "KeyN" && at.closest(".st-key-wizard_step")) { at.blur(); }
  }, true);
}
"""
"""Focuses the first field of each step that opens, unless a person has gone elsewhere meanwhile."""
START_WITHIN_NS = 300 * 10**9
"""How long after *Create and start* a version that comes into force starts its bot."""


class OpenDraft(msgspec.Struct):
    """The draft as a tab has it. A form's fields begin with `base`, what they hold now is `now`."""

    base: BotDraft
    now: BotDraft
    seen_ns: int


class Begun(NamedTuple):
    """A bot that was saved to be started: as soon as its version is in force."""

    bot: str
    version: int
    at_ns: int


Draw = Callable[[BotDraft, SettingsDocument], BotDraft]
"""Draws the fields of a step filled with a draft; gives the draft as they stand."""


# -- The draft: of a tab, and of the home ----------------------------------------------------------


def offer() -> None:
    """Draw the way into the wizard, and what is left there of an earlier visit."""
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Create a bot", icon=":material/add:", key="wizard_open"):
            st.query_params.from_dict({"create": "1"})
            st.rerun()
        kept = _kept()
        if kept is not None and begun(kept[0]):
            draft, at_ns = kept
            st.caption(
                f"A bot you began waits at step {literal(draft.step + 1)} of {len(STEPS)}, "
                f"{literal(STEPS[draft.step])}: typed {literal(age(now_ns() - at_ns))} ago."
            )


def _kept() -> tuple[BotDraft, int] | None:
    """Return the draft as the home has it now: a cached one would be older than what was typed."""
    with reading(config().state_path) as connection:
        return BOT_DRAFTS.of(connection, engine_id(), st.session_state["who"])


def _opened(document: SettingsDocument) -> OpenDraft:
    """Return the draft of this tab: as it was, else the home's, else a new one."""
    found = st.session_state.get(OPEN)
    if isinstance(found, OpenDraft):
        return found
    kept = _kept()
    draft, seen_ns = kept or (BotDraft(), 0)
    # What a new version of the program left out, or another tab kept: never beyond the last step.
    draft = msgspec.structs.replace(
        draft,
        step=max(0, min(draft.step, REVIEW)),
        strategy=draft.strategy or forms.strategy_names(forms.strategies_known())[0],
        account=draft.account or next(iter(document.accounts)),
    )
    made = OpenDraft(draft, draft, seen_ns)
    st.session_state[OPEN] = made
    return made


def _keep(opened: OpenDraft, draft: BotDraft) -> bool:
    """Keep what was typed in the home; where that fails, say so and give False."""
    if draft == opened.now:
        return True
    try:
        with writing(config().state_path) as connection:
            opened.seen_ns = BOT_DRAFTS.put(
                connection,
                engine_id(),
                draft,
                who=st.session_state["who"],
                now_ns=now_ns(),
                seen_ns=opened.seen_ns,
            )
    except PitbossError as error:
        st.error(f"Not kept: {literal(error)}. What is typed here stands in this tab alone.")
        if st.button("Go on with the draft as it is kept", key="wizard_again"):
            kept = _kept()
            if kept is not None:
                _begin(msgspec.structs.replace(kept[0], turn=kept[0].turn + 1))
            leave()
            st.rerun()
        return False
    opened.now = draft
    return True


def leave() -> None:
    """Forget the draft of this tab; the home's stays."""
    st.session_state.pop(OPEN, None)


def throw_away() -> None:
    """Forget the draft of this tab and of the home."""
    with writing(config().state_path) as connection:
        BOT_DRAFTS.drop(connection, engine_id(), st.session_state["who"])
    leave()


def _refill(opened: OpenDraft, draft: BotDraft) -> None:
    """Go on with a draft whose fields are drawn anew: another step, or values that were filled."""
    if _keep(opened, draft):
        opened.base = draft
        st.rerun()


def _to(opened: OpenDraft, step: int) -> None:
    _refill(opened, msgspec.structs.replace(opened.now, step=max(0, min(step, REVIEW))))


# -- The frame of the steps ------------------------------------------------------------------


@guard.part("The new bot")
def show() -> None:
    """Draw the open step, and the ways to the others."""
    panels.links(panels.link("← All bots", "bots"))
    panels.head("New bot", "A draft, kept as it is typed; nothing trades before you start it")
    if not forms.strategies_known():
        return
    settings = drafts.newest()
    if not settings.document.accounts:
        panels.empty("A bot needs an account.", "Add a paper account under Settings first.")
        panels.links(panels.link("Settings", "settings"))
        return
    if not _entered(settings.document):
        return
    opened = _opened(settings.document)
    step = opened.now.step
    wanted = st.segmented_control(
        "Step",
        range(len(STEPS)),
        format_func=lambda number: f"{number + 1} {STEPS[number]}",
        default=step,
        key=f"wizard_at_{step}",
        required=True,
        label_visibility="collapsed",
    )
    with st.container(key="wizard_step", border=True):
        if step == REVIEW:
            _review(opened, settings)
        elif not _keep(opened, DRAWN[step](opened.base, settings.document)):
            return
        elif opened.now.turn != opened.base.turn:
            _refill(opened, opened.now)
    # Behind the step's fields: what was typed may come in one run with the press that leaves it.
    if wanted is not None and wanted != step:
        _to(opened, wanted)
    _ways(opened, settings.document)
    _focus(step)


def _ways(opened: OpenDraft, document: SettingsDocument) -> None:
    """Draw the buttons below a step: further first, it is what Tab reaches from the fields."""
    step = opened.now.step
    with st.container(horizontal=True):
        if step < REVIEW:
            # No Enter in the shortcut: also with Ctrl it chooses what a list has marked.
            if st.button("Next", type="primary", shortcut="Alt+N", key=f"wizard_next_{step}"):
                _to(opened, step + 1)
            ready = step < REVIEW - 1 and not lacking(opened.now, document)
            if ready and st.button("To the review", key=f"wizard_end_{step}"):
                _to(opened, REVIEW)
        if step and st.button("Back", key=f"wizard_back_{step}"):
            _to(opened, step - 1)
        if st.button("Throw the draft away", type="tertiary", key=f"wizard_drop_{step}"):
            throw_away()
            st.query_params.clear()
            st.rerun()


def _focus(step: int) -> None:
    """Put the keyboard into the first field of a step when it opens: Tab goes on from there.

    A script of a page runs once, also where its text changes: this one looks which step is marked.
    """
    with st.container(key=f"wizard_focus_{step}"):
        st.html(f"<script>{FOCUS}</script>", unsafe_allow_javascript=True)


# -- 1 to 3: where it trades, what, and by which strategy ------------------------------------------


def _account(base: BotDraft, document: SettingsDocument) -> BotDraft:
    known = list(document.accounts)
    titles = ask(venues, engine_id())

    def words(name: str) -> str:
        one = document.accounts[name]
        entry = titles.get(one.venue)
        where = entry.title if entry else one.venue
        return f"{literal(name)} · {one.mode.upper()} · {literal(where)}"

    account = str(
        st.radio(
            "Account: its venue, and whose money it is",
            known,
            index=known.index(base.account) if base.account in known else 0,
            format_func=words,
            key=f"wizard_account_{base.turn}",
        )
    )
    settings = document.accounts[account]
    entry = titles.get(settings.venue)
    panels.note(commands.MONEY[settings.mode].replace("*", ""))
    if entry and entry.about:
        panels.note(f"{entry.title}: {entry.about}")
    panels.facts(money_of(settings, document))
    return msgspec.structs.replace(base, account=account)


def money_of(account: AccountSettings, document: SettingsDocument) -> dict[str, str]:
    """Return what an account is worth, what its bots may use of it, and what is left for more."""
    seen = ask(latest_equity, engine_id(), account.name)
    equity = first_equity_micro(account) if seen is None else seen.equity_micro
    bots = [bot for bot in document.bots.values() if bot.account == account.name]
    given = capital_micro(bots)
    held = ", ".join(sorted(bot.name for bot in bots)) or "no bot"
    said = {
        "Mode": account.mode.upper(),
        "Equity": "not known yet" if equity is None else micro(equity, account.currency),
        "Capital of its bots": f"{micro(given, account.currency)} ({held})",
    }
    if equity is not None:
        said["Left for this bot"] = micro(max(0, equity - given), account.currency)
    return said


def _markets(base: BotDraft, document: SettingsDocument) -> BotDraft:
    account = document.accounts.get(base.account)
    markets, series = ask(tradable, engine_id(), this_minute())
    if account is not None:
        markets, series = (_at(account.venue, found) for found in (markets, series))
    chosen = forms.several(
        "Markets",
        [*base.instruments, *markets],
        default=list(base.instruments),
        key=f"wizard_markets_{base.turn}",
        format_func=names.market,
        accept_new_options=True,
        placeholder="click to list open markets, or type",
    )
    rolling = forms.several(
        "Series (roll automatically)",
        [*base.series, *series],
        default=list(base.series),
        key=f"wizard_series_{base.turn}",
        accept_new_options=True,
        placeholder="instead of, or as well as, a market",
    )
    follows = followed(document, f"wizard_follows_{base.turn}", base.follows)
    if not document.filters:
        panels.note("Filters are saved under Markets; a bot may follow one.")
    if account is not None:  # a typed market may lack its venue
        chosen = [one if ":" in one else f"{account.venue}:{one}" for one in chosen]
        if why := drafts.markets_refusal(base.account, chosen, rolling):
            st.error(literal(why))
    others = traded_by(document, base.account)
    if others:
        held = ", ".join(f"{names.market(one)} ({', '.join(bots)})" for one, bots in others.items())
        panels.note(
            "Several bots may trade one market, each with its own orders, tokens and PnL; where "
            "their prices would meet, the higher priority goes first. "
            f"Traded at {base.account}: {held}."
        )
    return msgspec.structs.replace(
        base, instruments=tuple(chosen), series=tuple(rolling), follows=follows
    )


def _at(venue: str, found: Sequence[str]) -> list[str]:
    """Return what lies at a venue; where nothing does by its name, everything."""
    return [one for one in found if one.startswith(f"{venue}:")] or list(found)


def _strategy(base: BotDraft, document: SettingsDocument) -> BotDraft:
    known = forms.strategies_known()
    catalog = {
        name: entry
        for name, entry in known.items()
        if name == base.strategy or not document.strategy(name).removed
    }

    def words(name: str) -> str:
        return f"{name} · {evidence.verdict(name, catalog[name])[0].upper()}"

    strategy = forms.strategy_asked(
        catalog,
        f"wizard_strategy_{base.turn}",
        now=base.strategy,
        format_func=words,
    )
    entry = catalog[strategy]
    if why := document.strategy_refusal(strategy):
        st.error(f"{literal(why[:1].upper() + why[1:])}.")
    evidence.note(strategy)
    panels.note(entry.about or "Its file does not say what it does.")
    probe.picture(strategy, entry)
    with st.expander("Idea, source, when it loses", key="fold_idea"):
        st.text(entry.idea or "Its file says nothing of it.")
    kept = base.parameters if strategy == base.strategy else {}
    return msgspec.structs.replace(base, strategy=strategy, parameters=kept)


# -- 4 and 5: its parameters, and how much it may use ----------------------------------------------


def _parameters(base: BotDraft, document: SettingsDocument) -> BotDraft:
    entry = forms.strategies_known().get(base.strategy)
    if entry is None:
        st.error(f"There is no strategy {literal(repr(base.strategy))}: choose one in step 3.")
        return base
    filled = _preset(base, entry, document)
    if filled is not None:
        return msgspec.structs.replace(base, parameters=filled, turn=base.turn + 1)
    slot = f"wizard_{base.strategy}_{base.turn}"
    parameters = forms.edited(entry.parameters, base.parameters, slot)
    for wrong in forms.out_of_bounds(entry.parameters, parameters):
        st.error(literal(wrong))
    return msgspec.structs.replace(base, parameters=parameters)


def _preset(
    base: BotDraft, entry: StrategyEntry, document: SettingsDocument
) -> dict[str, object] | None:
    """Draw the choice of a preset; gives the one that was just chosen."""
    known = presets(base.strategy, entry, document)
    chosen = st.selectbox(
        "Fill in from",
        list(known),
        index=None,
        placeholder="defaults, another bot, a backtest",
        key=f"wizard_preset_{base.turn}",
    )
    return None if chosen is None else known[chosen]


def _sizes(base: BotDraft, document: SettingsDocument) -> BotDraft:
    account = document.accounts.get(base.account)
    capital = st.number_input(
        "Capital, in the account's currency: the most it may use",
        value=base.capital,
        step=10.0,
        key=f"wizard_capital_{base.turn}",
    )
    if account is not None:
        panels.facts(money_of(account, document))
    st.markdown("**How much of it goes into one market**")
    sizing = _sizing(base)
    st.markdown("**Beside others, and when it stops**")
    schema = forms.part_of(BotSettings.model_json_schema(), OWN)
    own = forms.edited(schema, base.own, f"wizard_own_{base.turn}")
    if account is not None:
        st.markdown(f"**Limits of {literal(account.name)}, for all its bots together**")
        limits = {LIMITS[name].title: getattr(account.limits, name) for name in LIMITS_SHOWN}
        panels.facts({title: limit_words("", value) for title, value in limits.items()})
        panels.links(panels.link("Change them under Risk", "risk"))
    return msgspec.structs.replace(base, capital=float(capital or 0.0), sizing=sizing, own=own)


def _sizing(base: BotDraft) -> dict[str, object]:
    """Draw the method, and the fields that have an effect with it; the others keep their values."""
    schema, slot = Sizing.model_json_schema(), f"wizard_sizing_{base.turn}"
    given = forms.edited(forms.part_of(schema, ("method",)), base.sizing, slot)
    used = SIZED_BY[SizingMethod(str(given.get("method", Sizing().method)))]
    return given | forms.edited(forms.part_of(schema, used), given, slot) if used else given


DRAWN: tuple[Draw, ...] = (_account, _markets, _strategy, _parameters, _sizes, preview.draw)


# -- 7: what will be saved, and its start ----------------------------------------------------------


def _review(opened: OpenDraft, settings: SettingsVersion) -> None:
    draft, document = opened.base, settings.document
    own = suggested(draft.strategy, document)
    name = st.text_input(
        "Name",
        draft.name or own,
        help="a-z, 0-9, dot, dash, underscore",
        key=f"wizard_name_{draft.turn}",
    ).strip()
    # A suggestion is not kept: it follows the strategy, which may be chosen anew.
    if not _keep(opened, msgspec.structs.replace(opened.now, name="" if name == own else name)):
        return
    draft = msgspec.structs.replace(opened.now, name=name)
    evidence.note(draft.strategy)
    wrong = lacking(draft, document)
    if name in document.bots:
        wrong.append(f"There is a bot {name!r} already: give this one another name.")
    diff = {"bots": {name: settings_of(draft)}}
    if not wrong and (why := drafts.refusal(diff, settings)):
        wrong.append(f"Not valid: {why}")
    for why in wrong:
        st.error(literal(why))
    if wrong:
        return
    account = document.accounts[draft.account]
    money = commands.MONEY[account.mode].replace("*", "")
    panels.note(f"{money} · amounts in {account.currency}")
    drafts.show_difference(diff, settings)
    _create(draft, diff, settings)


def _create(
    draft: BotDraft, diff: Mapping[str, Mapping[str, object]], settings: SettingsVersion
) -> None:
    """Draw the buttons that save the bot, and start it where its money does not exist."""
    mode = settings.document.accounts[draft.account].mode
    runs = commands.engine_runs()
    with st.container(horizontal=True):
        start = (
            mode is not Mode.LIVE
            and runs
            and st.button(f"Create and start in {mode.upper()}", type="primary", key="wizard_start")
        )
        saved = start or st.button("Create, leave it stopped", key="wizard_create")
    if mode is Mode.LIVE:
        panels.note("LIVE: real money. It is started on its own page, after it was saved.")
    elif not runs:
        commands.note_no_engine()
    if not saved:
        return
    kept = drafts.keep("bots", diff, settings.version)
    if isinstance(kept, Stale):
        drafts.show_stale(kept)
    if not isinstance(kept, Saved):
        return
    if runs:
        commands.send(ApplySettings(version=kept.version), "settings")
    if start:
        st.session_state[SAVED] = Begun(draft.name, kept.version, now_ns())
    throw_away()
    st.query_params.from_dict({"bot": draft.name})
    st.rerun()


def start_begun() -> None:
    """Start the bot that was saved to be started, once its version is in force."""
    saved = st.session_state.get(SAVED)
    if not isinstance(saved, Begun):
        return
    force = ask(in_force, engine_id())
    late = now_ns() - saved.at_ns > START_WITHIN_NS
    if late or force.version >= saved.version:
        st.session_state.pop(SAVED)
        if not late and saved.bot in force.document.bots:
            commands.send(StartBot(bot=BotId(saved.bot)), f"bot:{saved.bot}")


# -- The ways in half way: a bot that is duplicated, a backtest ------------------------------------


def _entered(document: SettingsDocument) -> bool:
    """Begin with what the address names; gives whether there is a draft to go on with."""
    wanted = _named(document)
    if wanted is None:
        return True
    kept = _kept()
    if kept is None or not begun(kept[0]):
        _begin(wanted)
        return False
    st.markdown(
        f"A bot you began waits at step {literal(STEPS[kept[0].step])}. "
        f"Beginning with {literal(wanted.origin)} throws it away."
    )
    with st.container(horizontal=True):
        if st.button(f"Begin with {literal(wanted.origin)}", key="wizard_anew", type="primary"):
            _begin(wanted)
        if st.button("Go on with the one that waits", key="wizard_on"):
            leave()
            st.query_params.from_dict({"create": "1"})
            st.rerun()
    return False


def _begin(draft: BotDraft) -> None:
    with writing(config().state_path) as connection:
        BOT_DRAFTS.put(connection, engine_id(), draft, who=st.session_state["who"], now_ns=now_ns())
    leave()
    st.query_params.from_dict({"create": "1"})
    st.rerun()


def _named(document: SettingsDocument) -> BotDraft | None:
    """Return the draft of what the address names; None = it names nothing that is there."""
    bot = document.bots.get(st.query_params.get("copy", ""))
    if bot is not None:
        return of_bot(bot)
    number = st.query_params.get("run", "")
    if number.isdecimal():
        for owner in ask(run_engines):
            run = ask(views.run, owner, int(number))
            if run is not None:
                return of_run(run)
    return None
