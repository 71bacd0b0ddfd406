"""Edits of the settings: a draft, its diff, then saved as a version, then applied by the engine.

Saving is not applying: the page shows both. A draft made from an older version than the latest is
refused, with what changed since beside what was wanted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st
from pydantic import ValidationError

from engine.domain.catalog import StrategyEntry
from engine.domain.commands import ApplySettings
from engine.domain.settings import SettingsDocument
from engine.errors import PitbossError
from pages.kit import commands, guard, panels
from pages.kit.data import ask, engine_id, forget
from pages.kit.home import config, now_ns
from pages.kit.markdown import literal
from pages.kit.words import moment
from storage.catalog import strategies
from storage.database import reading, writing
from storage.settings import (
    Change,
    Saved,
    SettingsVersion,
    Stale,
    capital_refusal,
    changes,
    in_force,
    latest,
    merged,
    save,
)
from storage.settings_paths import patch_between


def newest() -> SettingsVersion:
    return ask(latest, engine_id())


def draft(slot: str, diff: Mapping[str, Any], base: SettingsVersion) -> None:
    """Keep a draft: a merge patch on top of the version the operator looked at."""
    st.session_state[f"draft:{slot}"] = (dict(diff), base.version)
    st.session_state.pop(f"saved:{slot}", None)


@guard.part("The draft of the settings")
def review(slot: str) -> None:
    """Draw the draft of `slot`: its diff and the choice, or what saving it gave."""
    kept = st.session_state.get(f"draft:{slot}")
    if kept is not None:
        _review(slot, *kept)
    saved = st.session_state.get(f"saved:{slot}")
    if isinstance(saved, Stale):
        show_stale(saved)
    elif saved is not None:
        _saved(slot, saved)


def _saved(slot: str, saved: Saved) -> None:
    """Say that a version waits; once it, or one after it, is in force there is nothing to say."""
    if ask(in_force, engine_id()).version >= saved.version:
        st.session_state.pop(f"saved:{slot}")
    else:
        st.info(f"Saved as version {saved.version}. It takes effect when the engine applies it.")


def _review(slot: str, diff: dict[str, Any], base_version: int) -> None:
    base = newest()
    try:
        document = _changed(diff, base)
    except ValueError as error:
        st.error(f"Not valid, nothing was saved: {literal(_said(error))}")
        return
    differs = changes(base.document, document)
    with st.container(border=True):
        if not differs:
            st.markdown("Nothing differs from the saved settings.")
            return
        st.markdown(f"**These values change** (from version {base_version}):")
        show_changes(differs, base.document, document)
        with st.container(horizontal=True):
            save_now = st.button("Save these changes", type="primary", key=f"save:{slot}")
            if save_now and keep(slot, diff, base_version) is not None:
                st.rerun()
            if st.button("Discard", key=f"discard:{slot}"):
                st.session_state.pop(f"draft:{slot}")
                st.rerun()


def refusal(diff: Mapping[str, object], base: SettingsVersion) -> str:
    """Return why a change of the settings would not be saved; empty = it would."""
    try:
        document = _changed(diff, base)
    except ValueError as error:
        return _said(error)
    with reading(config().state_path) as connection:
        return capital_refusal(
            connection, engine_id(), before=base.document, after=document, now_ns=now_ns()
        )


def show_difference(diff: Mapping[str, object], base: SettingsVersion) -> None:
    """Draw what a valid change changes."""
    document = _changed(diff, base)
    show_changes(changes(base.document, document), base.document, document)


def _changed(diff: Mapping[str, object], base: SettingsVersion) -> SettingsDocument:
    return SettingsDocument.model_validate(merged(base.document.model_dump(mode="json"), diff))


def _said(error: ValueError) -> str:
    """Return everything that is wrong, each with the setting it is about."""
    if not isinstance(error, ValidationError):
        return str(error)
    return "; ".join(
        f"{'.'.join(map(str, one['loc']))}: {one['msg']}".removeprefix(": ")
        for one in error.errors(include_url=False)
    )


def keep(slot: str, diff: Mapping[str, Any], base_version: int) -> Saved | Stale | None:
    """Save a draft; gives what became of it, None where that is said and nothing was saved."""
    owner = engine_id()
    try:
        with writing(config().state_path) as connection:
            saved = save(
                connection,
                engine_id=owner,
                who=st.session_state["who"],
                diff=diff,
                base_version=base_version,
                now_ns=now_ns(),
            )
    except PitbossError as error:
        st.error(f"Not saved, nothing was changed: {literal(error)}")
        return None
    forget()
    st.session_state.pop(f"draft:{slot}", None)
    st.session_state[f"saved:{slot}"] = saved
    return saved


def keep_at_once(slot: str, diff: Mapping[str, Any]) -> None:
    """Save a change without a review, and have an engine that runs apply it.

    For what is in force as soon as it is saved, as the watch's settings are. What is not valid, or
    came after another change, is said in place.
    """
    saved = keep(slot, diff, newest().version)
    if isinstance(saved, Saved):
        st.session_state.pop(f"saved:{slot}", None)
        if saved.changes and commands.engine_runs():
            commands.send(ApplySettings(version=saved.version), slot)
        st.rerun()
    elif saved is not None:
        show_stale(saved)


def show_changes(
    differs: Sequence[Change], before: SettingsDocument, after: SettingsDocument
) -> None:
    catalog = ask(strategies, engine_id())
    panels.facts(
        {
            one.path: f"{_shown(one.before, default_of(one.path, before, catalog))}  "
            f"\N{RIGHTWARDS ARROW}  {_shown(one.after, default_of(one.path, after, catalog))}"
            for one in differs
        }
    )


def default_of(path: str, document: SettingsDocument, catalog: Mapping[str, StrategyEntry]) -> Any:
    """Return what holds where a bot's parameter is not saved: its strategy's default.

    None = `path` names no parameter, the document has no such bot, or its strategy is not in
    `catalog`.
    """
    for name, bot in document.bots.items():
        start = f"bots.{name}.parameters."
        if path.startswith(start) and bot.strategy in catalog:
            fields = catalog[bot.strategy].parameters.get("properties", {})
            return fields.get(path.removeprefix(start), {}).get("default")
    return None


def _shown(value: Any, default: Any) -> str:
    if value is None:
        return "nothing" if default is None else f"{default} (default)"
    return str(value)


def show_stale(late: Stale) -> None:
    st.error(
        f"Not saved: {literal(late.latest.who)} saved version {late.latest.version} while you were "
        f"editing version {late.base.version}. What changed since then, before and after:"
    )
    show_changes(late.changes_since, late.base.document, late.latest.document)
    panels.note("Your values are still in the form; review them against these and save again.")


@guard.part("The state of the settings")
def show_version() -> None:
    """Draw which version is saved and which is in force, with the button that applies it."""
    owner = engine_id()
    last, force = newest(), ask(in_force, owner)
    if last.version == 0:
        panels.note("Nothing has been saved yet: the program's defaults apply.")
        return
    by = f"version {last.version} saved by {last.who}, {moment(last.at_ns)}"
    if last.version == force.version:
        panels.note(f"Settings: {by}, in force")
        commands.show_progress("settings")
        return
    held = f"version {force.version} is in force" if force.version else "no version is in force"
    st.warning(f"Saved, NOT applied: {literal(by)}; {held}.", icon=":material/pending:")
    if commands.engine_runs():
        with st.container(horizontal=True):
            if st.button(f"Apply version {last.version}", key="apply_settings"):
                commands.send(ApplySettings(version=last.version), "settings")
            if force.version and st.button(f"Go back to version {force.version}", key="go_back"):
                _go_back(last, force)
    else:
        commands.note_no_engine()
    commands.show_progress("settings")
    _await(last.version)


def _go_back(last: SettingsVersion, force: SettingsVersion) -> None:
    """Save and apply once more what is in force: one that is refused holds up all after it."""
    now, then = (one.document.model_dump(mode="json") for one in (last, force))
    saved = keep("settings", patch_between(now, then), last.version)
    if isinstance(saved, Saved):
        commands.send(ApplySettings(version=saved.version), "settings")
        st.rerun()


@st.fragment(run_every=1.0)
@guard.part("The state of the settings")
def _await(version: int) -> None:
    """Draw the page anew once the engine has put the version in force."""
    if ask(in_force, engine_id()).version >= version:
        forget()
        st.rerun()
