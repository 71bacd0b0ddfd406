"""Edits of the settings: a draft, its diff, then saved as a version, then applied by the engine.

Saving is not applying: the page shows both. A draft made from an older version than the latest is
refused, with what changed since beside what was wanted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import streamlit as st
from pydantic import ValidationError

from engine.domain.catalog import StrategyEntry
from engine.domain.commands import ApplySettings
from engine.domain.plain import PlainView
from engine.domain.setting_places import HEADS, SettingPlace, place_of
from engine.domain.settings import BotSettings, Settings, SettingsDocument
from engine.errors import PitbossError
from pages.kit import commands, forms, guard, names, panels
from pages.kit.data import ask, engine_id, forget
from pages.kit.home import config, now_ns
from pages.kit.markdown import literal
from pages.kit.words import count, moment
from storage.catalog import strategies
from storage.database import reading, writing
from storage.listed_markets import markets_judged
from storage.settings import (
    Change,
    Saved,
    SettingsVersion,
    Stale,
    changes,
    edit_refusal,
    in_force,
    latest,
    merged,
    save,
)
from storage.settings_paths import names_of, patch_between


def newest() -> SettingsVersion:
    return ask(latest, engine_id())


def draft(slot: str, diff: Mapping[str, object], base: SettingsVersion) -> None:
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
    if saved.note:
        panels.note(f"{saved.note[:1].upper()}{saved.note[1:]}.")


def _review(slot: str, diff: dict[str, object], base_version: int) -> None:
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
        show_changes(slot, differs, base.document, document)
        _show_unknown(base.document, document)
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
        return edit_refusal(
            connection, engine_id(), before=base.document, after=document, now_ns=now_ns()
        )


def markets_refusal(account: str, instruments: Sequence[str], series: Sequence[str]) -> str:
    """Return why a new bot of an account cannot trade these markets; empty = nothing is known."""
    before = newest().document
    bot = BotSettings.model_construct(  # a draft: what it lacks yet is no matter here
        name="this bot",
        account=account,
        strategy="",
        capital=0.0,
        instruments=tuple(instruments),
        series=tuple(series),
    )
    after = before.model_copy(update={"bots": {**before.bots, bot.name: bot}})
    with reading(config().state_path) as connection:
        return markets_judged(connection, engine_id(), before, after, now_ns()).refusal


def show_difference(diff: Mapping[str, object], base: SettingsVersion) -> None:
    """Draw what a valid change changes, and which of its markets are not known yet."""
    document = _changed(diff, base)
    show_changes("difference", changes(base.document, document), base.document, document)
    _show_unknown(base.document, document)


def _show_unknown(before: SettingsDocument, after: SettingsDocument) -> None:
    with reading(config().state_path) as connection:
        said = markets_judged(connection, engine_id(), before, after, now_ns()).note
    if said:
        panels.note(f"{said[:1].upper()}{said[1:]}.")


def _changed(diff: Mapping[str, object], base: SettingsVersion) -> SettingsDocument:
    return SettingsDocument.model_validate(merged(base.document.model_dump(mode="json"), diff))


def _said(error: ValueError) -> str:
    """Return everything that is wrong, each with the setting it is about."""
    if not isinstance(error, ValidationError):
        return str(error)
    found = []
    for one in error.errors(include_url=False):
        place = place_of([str(name) for name in one["loc"]])
        where = f"{place.part}, {place.title}: " if one["loc"] else ""
        found.append(f"{where}{one['msg']}")
    return "; ".join(found)


def keep(slot: str, diff: PlainView, base_version: int) -> Saved | Stale | None:
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


def keep_at_once(slot: str, diff: Mapping[str, object]) -> None:
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


# -- What differs, by the titles of its fields -----------------------------------------------------

UNKNOWN = object()


class Parameter(NamedTuple):
    """A parameter of a strategy as a bot has it."""

    label: str = ""
    default: object = None
    """What holds where it is not saved; None = nothing does, or it is none."""


class ChangedSetting(NamedTuple):
    """A changed value under the title of its setting."""

    place: SettingPlace
    change: Change
    parameter: Parameter
    """Of a bot's parameter; nothing where it is another setting."""

    @property
    def title(self) -> str:
        return self.parameter.label or self.place.title


def show_changes(
    slot: str, differs: Sequence[Change], before: SettingsDocument, after: SettingsDocument
) -> None:
    """Draw changes under what they are part of; of a new part the defaults are folded away.

    `slot` differs for each list of changes on a page.
    """
    catalog = ask(strategies, engine_id())
    whole = merged(before.model_dump(mode="json"), after.model_dump(mode="json"))
    old, new = (_parts(one) for one in (before, after))
    found: dict[str, list[ChangedSetting]] = {}
    for change in differs:
        place = place_of(names_of(whole, change.path))
        known = after if change.before is None else before
        line = ChangedSetting(place, change, parameter_of(change.path, known, catalog))
        found.setdefault(place.part, []).append(line)
    for part, lines in found.items():
        order = list(lines[0].place.fields.model_fields)
        lines.sort(key=lambda line: order.index(line.place.names[0]) if line.place.names else -1)
        if part in new and part not in old:
            _show_new(slot, part, lines)
        elif part in old and part not in new:
            st.markdown(f"**{literal(part)} is removed**")
            with st.expander(f"{count(len(lines), 'setting')} it had", key=f"fold_{slot}_{part}"):
                panels.facts({line.title: _word(line.change.before) for line in lines})
        else:
            st.markdown(f"**{literal(part)}**")
            panels.facts({line.title: _arrow(line) for line in lines})


def _show_new(slot: str, part: str, lines: Sequence[ChangedSetting]) -> None:
    st.markdown(f"**{literal(part)} is new**")
    usual = [line for line in lines if _is_usual(line)]
    chosen = [line for line in lines if line not in usual and line.place.names != ("name",)]
    panels.facts({line.title: _word(line.change.after) for line in chosen})
    if usual:
        with st.expander(
            f"{count(len(usual), 'setting')} as by default", key=f"fold_{slot}_{part}"
        ):
            panels.facts({line.title: _word(line.change.after) for line in usual})


def _parts(document: SettingsDocument) -> set[str]:
    """Return what a document has entries of, as `SettingPlace.part` calls them."""
    entries = {
        **{name: getattr(document, name) for name in HEADS if "." not in name},
        "alerts.rules": document.alerts.rules,
        "alerts.prices": document.alerts.prices,
    }
    return {f"{HEADS[name][0]} {one}" for name, found in entries.items() for one in found}


def _is_usual(line: ChangedSetting) -> bool:
    """Say whether a value is what its field holds where nothing is said."""
    fields, (first, *rest) = line.place.fields, line.place.names
    field = fields.model_fields.get(first)
    if field is None or field.is_required():
        return False
    value = field.get_default(call_default_factory=True)
    value = value.model_dump(mode="json") if isinstance(value, Settings) else value
    for name in rest:
        value = value.get(name, UNKNOWN) if isinstance(value, dict) else UNKNOWN
    return bool((list(value) if isinstance(value, tuple) else value) == line.change.after)


def _arrow(line: ChangedSetting) -> str:
    change, default = line.change, line.parameter.default
    before, after = (_shown(one, default) for one in (change.before, change.after))
    return f"{before}  \N{RIGHTWARDS ARROW}  {after}"


def parameter_of(
    path: str, document: SettingsDocument, catalog: Mapping[str, StrategyEntry]
) -> Parameter:
    """Return the label of a bot's parameter, and what holds where it is not saved.

    Nothing = `path` names no parameter, the document has no such bot, or its strategy is not in
    `catalog`.
    """
    for name, bot in document.bots.items():
        start = f"bots.{name}.parameters."
        if path.startswith(start) and bot.strategy in catalog:
            entry, own = catalog[bot.strategy], path.removeprefix(start)
            field = entry.parameters.get("properties", {}).get(own)
            return Parameter(forms.parameter_label(entry, own), (field or {}).get("default"))
    return Parameter()


def _shown(value: object, default: object) -> str:
    if value is None and default is not None:
        return f"{_word(default)} (default)"
    return _word(value)


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:,}".removesuffix(".0").replace("-", "\N{MINUS SIGN}")
    if isinstance(value, list | tuple):
        return ", ".join(names.market(str(one)) for one in value) or "none"
    return "none" if value is None or value == "" else str(value)


def show_stale(late: Stale) -> None:
    st.error(
        f"Not saved: {literal(late.latest.who)} saved version {late.latest.version} while you were "
        f"editing version {late.base.version}. What changed since then, before and after:"
    )
    show_changes("since", late.changes_since, late.base.document, late.latest.document)
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
