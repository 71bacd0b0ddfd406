"""A draft of a bot: what it begins with, what it lacks, and the settings it stands for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import count

import msgspec

from engine.domain.catalog import StrategyEntry
from engine.domain.settings import BotSettings, SettingsDocument, Sizing
from pages.kit import forms
from pages.kit.data import ask
from storage import views
from storage.bot_drafts import BotDraft
from storage.runs import RunStatus
from storage.views.frame import run_engines

STEPS = (
    "Account",
    "Markets",
    "Strategy",
    "Parameters",
    "Sizing and limits",
    "Preview",
    "Review",
)
OWN = ("priority", "instruments_max", "inventory_on_stop", "slippage_exit_max")
"""Fields of a bot's settings that the step of sizes asks for besides its capital."""
RUNS_OFFERED = 20
"""Most backtests offered as presets, the newest."""


def begun(draft: BotDraft) -> bool:
    """Say whether a draft holds more than what every new one begins with."""
    blank = BotDraft(account=draft.account, strategy=draft.strategy, step=draft.step)
    return msgspec.structs.replace(draft, turn=0) != blank


def settings_of(draft: BotDraft) -> dict[str, object]:
    """Return a bot's settings as a draft has them."""
    return {
        "name": draft.name,
        "strategy": draft.strategy,
        "account": draft.account,
        "capital": draft.capital,
        "instruments": list(draft.instruments),
        "series": list(draft.series),
        "follows": draft.follows,
        "parameters": draft.parameters,
        "sizing": draft.sizing,
        **draft.own,
    }


def lacking(draft: BotDraft, document: SettingsDocument) -> list[str]:
    """Return what a draft lacks or has wrong before its name is asked for; empty = nothing."""
    entry = forms.strategies_known().get(draft.strategy)
    found = []
    if draft.account not in document.accounts:
        found.append(f"There is no account {draft.account!r}: choose one in step 1.")
    if not (draft.instruments or draft.series or draft.follows):
        found.append(
            "Choose a market, a series or a filter in step 2: without one it has nothing to trade."
        )
    if entry is None:
        found.append(f"There is no strategy {draft.strategy!r}: choose one in step 3.")
    else:
        found += forms.out_of_bounds(entry.parameters, draft.parameters)
    return found


def suggested(strategy: str, document: SettingsDocument) -> str:
    """Return a name that no bot has: the strategy's and a number."""
    stem = re.sub(r"[^a-z0-9_.-]", "-", strategy.lower())[:56]
    number = next(n for n in count(1) if f"{stem}-{n}" not in document.bots)
    return f"{stem}-{number}"


def presets(
    strategy: str, entry: StrategyEntry, document: SettingsDocument
) -> dict[str, dict[str, object]]:
    """Return sets of parameters to begin with: defaults, the strategy's own, those of its bots."""
    found: dict[str, dict[str, object]] = {"The strategy's defaults": {}}
    for title, values in entry.parameters.get("presets", {}).items():
        found[str(title)] = dict(values)
    for bot in document.bots.values():
        if bot.strategy == strategy:
            account = document.accounts.get(bot.account)
            mode = account.mode.upper() if account else "no account"
            found[f"Bot {bot.name}, {mode}"] = dict(bot.parameters)
    runs = [run for owner in ask(run_engines) for run in ask(views.runs, owner)]
    mine = [one for one in runs if one["strategy"] == strategy and one["status"] == RunStatus.DONE]
    for run in sorted(mine, key=lambda one: -int(one["id"]))[:RUNS_OFFERED]:
        found[run_words(run)] = run_parameters(run, entry)
    return found


def run_words(run: Mapping[str, object]) -> str:
    recording = str(run["recording"]).rstrip("/").rpartition("/")[2]
    return f"Backtest {run['id']} on {recording}, {str(run['mode']).upper()}"


def run_parameters(run: Mapping[str, object], entry: StrategyEntry) -> dict[str, object]:
    """Return the parameters of a stored run, which keeps them as text, by their types."""
    stated = msgspec.json.decode(str(run["parameters"] or "{}")).get("parameters", {})
    return forms.typed(entry.parameters, stated)


def of_bot(bot: BotSettings) -> BotDraft:
    """Return the draft of a duplicate: all of a bot but its name, opened at its parameters."""
    kept = bot.model_dump(mode="json")
    usual = {name: BotSettings.model_fields[name].default for name in OWN}
    sizing = Sizing().model_dump(mode="json")
    return BotDraft(
        step=STEPS.index("Parameters"),
        origin=f"a copy of {bot.name}",
        account=bot.account,
        instruments=bot.instruments,
        series=bot.series,
        follows=bot.follows,
        strategy=bot.strategy,
        parameters=kept["parameters"],
        capital=bot.capital,
        own={name: kept[name] for name in OWN if kept[name] != usual[name]},
        sizing={name: one for name, one in kept["sizing"].items() if one != sizing[name]},
    )


def of_run(run: Mapping[str, object]) -> BotDraft | None:
    """Return the draft of a backtest: its strategy and parameters, opened at its markets."""
    strategy = str(run["strategy"])
    entry = forms.strategies_known().get(strategy)
    if entry is None:
        return None
    return BotDraft(
        step=STEPS.index("Markets"),
        origin=f"backtest {run['id']}",
        strategy=strategy,
        parameters=run_parameters(run, entry),
    )
