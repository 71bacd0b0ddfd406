"""A form drawn from the JSON schema of parameters or settings, with units and help."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import streamlit as st

from engine.domain.catalog import StrategyEntry
from engine.domain.labels import is_made, readable
from engine.domain.rules import rule_json
from engine.domain.rules.templates import TEMPLATES
from engine.domain.settings import Settings
from pages.kit import panels
from pages.kit.data import ask, engine_id
from pages.kit.markdown import literal
from storage.catalog import strategies
from storage.rules import saved_rules

JsonSchema = Mapping[str, Any]
"""Of parameters, of settings, or of one field."""

COLUMNS = 3
"""Fields in a row; on a phone they stand below each other."""

NO_BOUND = 1e9
"""A maximum that is never near is not worth a word."""


def form(schema: JsonSchema, slot: str) -> dict[str, Any]:
    """Draw a widget for every parameter; gives those that differ from the strategy's defaults.

    Where the schema has `groups`, each stands in a tab of its own, which counts what was changed.
    """
    groups = grouped(schema)
    if len(groups) == 1:
        return _drawn(schema, list(schema.get("properties", ())), slot)
    usual = schema.get("usual", {})
    given: dict[str, Any] = {}
    changed = {title: sum(name in usual for name in names) for title, names in groups.items()}
    labels = [f"{title} · {many} changed" if many else title for title, many in changed.items()]
    for tab, names in zip(st.tabs(labels, key=f"{slot}_tabs"), groups.values(), strict=True):
        with tab:
            given |= _drawn(schema, names, slot)
    return given


def grouped(schema: JsonSchema) -> dict[str, list[str]]:
    """Return the names of parameters by the title they stand under; no group names the rest."""
    left = dict.fromkeys(schema.get("properties", ()))
    found = {}
    for title, names in schema.get("groups", ()):
        found[title] = [name for name in names if name in left]
        for name in found[title]:
            del left[name]
    return found | ({"Other": list(left)} if left or not found else {})


def _drawn(schema: JsonSchema, names: Sequence[str], slot: str) -> dict[str, Any]:
    given: dict[str, Any] = {}
    required, usual = set(schema.get("required", ())), schema.get("usual", {})
    columns: list[Any] = []
    for name in names:
        field = schema["properties"][name]
        # In rows, not in whole columns: the order of reading and of the Tab key is the schema's.
        columns = columns or list(st.columns(COLUMNS))
        label, about = label_of(name, field), f"`{name}`"
        if said := literal(field.get("description", "")):
            about = f"{about}, {said}"
        before = literal(usual.get(name, ""))
        changed = f" · :orange[changed, default {before}]" if name in usual else ""
        with columns.pop(0):
            field = _plain(field, schema) | {"about": about}
            value = _widget(label, field, f"{slot}_{name}", changed)
        if name in required or value != field.get("default"):
            given[name] = value
    return given


def strategies_known() -> dict[str, StrategyEntry]:
    """Return the catalog of strategies; where there is none yet, say how it comes."""
    found = ask(strategies, engine_id())
    if not found:
        panels.empty("The strategies are not known yet.", "The engine lists them when it starts.")
    return found


def strategy_names(catalog: Mapping[str, StrategyEntry]) -> list[str]:
    """Return the strategies in the order in which they are offered."""
    return sorted(catalog, key=lambda name: (name != "market_maker", name))


def strategy_asked(
    catalog: Mapping[str, StrategyEntry], key: str, *, now: str = "", **look: Any
) -> str:
    """Draw the choice of a strategy; the market maker is first, the others by name."""
    names = strategy_names(catalog)
    index = names.index(now) if now in names else 0
    return str(st.selectbox("Strategy", names, index=index, key=key, **look))


REASON_LENGTH_MIN = 10


def reason_asked(key: str, question: str, label: str) -> str:
    """Draw the form of a release; gives the typed reason once it is sent, else an empty text.

    That a reason is too short is said until another is sent: such forms are drawn every few
    seconds, and what is said once is gone with the next time.
    """
    with st.form(key, border=False):
        reason = str(st.text_input(literal(question))).strip()
        short = f"short:{key}"
        if sent := st.form_submit_button(literal(label)):
            st.session_state[short] = len(reason) < REASON_LENGTH_MIN
        if st.session_state.get(short):
            st.error(f"Give a reason of at least {REASON_LENGTH_MIN} characters.")
            return ""
        return reason if sent else ""


def several(label: str, offered: Iterable[str], *, key: str, **look: Any) -> list[str]:
    """Draw Streamlit's multiselect; a choice outlives a change of what is offered.

    Markets open and close while a form is being filled in: without `key` the widget would be
    another one then, and empty; what is offered no longer would be dropped without a word.
    """
    options = dict.fromkeys([*offered, *st.session_state.get(key, ())])
    return list(st.multiselect(label, list(options), key=key, **look))


def filled(schema: JsonSchema, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema whose defaults are the values of now: its form gives what was changed.

    `usual` of it holds the schema's own defaults of those that differ from them.
    """
    made = copy.deepcopy(dict(schema))
    made["required"], made["usual"] = [], {}
    for name, value in values.items():
        field = made["properties"].get(name)
        if field is not None:
            if "default" in field and field["default"] != value:
                made["usual"][name] = "none" if field["default"] is None else field["default"]
            field["default"] = value
    return made


def of_now(settings: Settings, names: Sequence[str]) -> dict[str, Any]:
    """Return the schema of these fields of settings, filled with what they are."""
    schema = part_of(settings.model_json_schema(), names)
    made = filled(schema, settings.model_dump(mode="json", include=set(names)))
    return made | {"usual": {}}  # a setting's first value is no advice


def part_of(schema: JsonSchema, names: Sequence[str]) -> dict[str, Any]:
    """Return a schema of some of its fields alone."""
    return {**schema, "properties": {name: schema["properties"][name] for name in names}}


def edited(schema: JsonSchema, values: Mapping[str, object], slot: str) -> dict[str, object]:
    """Draw the form of a schema filled with values; gives what differs from its defaults then."""
    given = {**values, **form(filled(schema, values), slot)}
    usual = schema.get("properties", {})
    none = object()
    return {
        name: value
        for name, value in given.items()
        if usual.get(name, {}).get("default", none) != value
    }


def typed(schema: JsonSchema, texts: Mapping[str, object]) -> dict[str, object]:
    """Return parameters that were kept as text by the types of their schema.

    What is unknown there or does not read as its type stays a text: the engine refuses it.
    """
    return {
        name: _typed(str(text), _plain(schema.get("properties", {}).get(name, {}), schema))
        for name, text in texts.items()
    }


def _typed(text: str, field: JsonSchema) -> object:
    if text == "None" and {"type": "null"} in field.get("anyOf", ()):
        return None
    kind = field.get("type")
    try:
        if kind == "integer":
            return int(text)
        if kind == "number":
            return float(text)
    except ValueError:
        return text
    flags = {"True": True, "False": False} if kind == "boolean" else {}
    return flags.get(text, text)


def out_of_bounds(schema: JsonSchema, values: Mapping[str, object]) -> list[str]:
    """Return a sentence for each number that lies out of the bounds its schema states."""
    found = []
    for name, value in values.items():
        field = _plain(schema.get("properties", {}).get(name, {}), schema)
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        fits = (
            value >= field.get("minimum", value)
            and value <= field.get("maximum", value)
            and ("exclusiveMinimum" not in field or value > field["exclusiveMinimum"])
            and ("exclusiveMaximum" not in field or value < field["exclusiveMaximum"])
        )
        if not fits:
            found.append(f"{label_of(name, field)} is {value:g}: it takes{bounds(field)}.")
    return found


def label_of(name: str, field: JsonSchema) -> str:
    """Return the title a person gave the field; else one made of its name."""
    title = str(field.get("title", ""))
    return readable(name) if not title or is_made(title, name) else title


def parameter_label(entry: StrategyEntry | None, name: str) -> str:
    """Return the label of a strategy's parameter with its name behind it, as the CLI takes it.

    The name alone where the strategy or the parameter is not known.
    """
    field = entry.parameters.get("properties", {}).get(name) if entry else None
    return name if field is None else f"{label_of(name, field)} ({name})"


def _plain(field: JsonSchema, schema: JsonSchema) -> dict[str, Any]:
    merged = dict(field)
    if "$ref" in field:
        merged |= schema.get("$defs", {}).get(field["$ref"].rpartition("/")[2], {})
    kinds = [kind for kind in field.get("anyOf", ()) if kind.get("type") != "null"]
    if len(kinds) == 1:
        merged |= _plain(kinds[0], schema)
    return merged


def _widget(name: str, field: JsonSchema, key: str, more: str = "") -> Any:
    label, default = f"{literal(name)}{bounds(field)}{more}", field.get("default")
    about = field["about"]
    if "enum" in field:
        options = list(field["enum"])
        index = options.index(default) if default in options else 0
        return st.selectbox(label, options, index=index, help=about, key=key)
    if field.get("saved") == "rules":
        return _rule(label, str(default), about, key)
    kind = field.get("type")
    if kind == "boolean":
        return st.checkbox(label, value=bool(default), help=about, key=key)
    # No bounds in the widgets: they would change what was typed without a word.
    if kind == "integer":
        return st.number_input(label, value=default, step=1, help=about, key=key)
    if kind == "number" and {"type": "null"} in field.get("anyOf", ()):
        # What may be nothing can be emptied again: Streamlit lets go of a preset of its own alone.
        st.session_state.setdefault(key, default)
        return st.number_input(label, value=None, format="%g", help=about, key=key)
    if kind == "number":
        typed = None if default is None else float(default)
        return st.number_input(label, value=typed, format="%g", help=about, key=key)
    text = st.text_input(label, value="" if default is None else str(default), help=about, key=key)
    return default if text == "" and default is None else text


def _rule(label: str, now: str, about: str | None, key: str) -> str:
    """Draw the choice of a saved rule or a template; gives its document as JSON.

    The one of now stays to be chosen: it may be an older version than the one that is saved.
    """
    known = {f"{one.name} (saved)": one.document for one in ask(saved_rules, engine_id())}
    known |= {f"{name} (template)": rule_json(one) for name, one in TEMPLATES.items()}
    current = next((name for name, text in known.items() if text == now), "as it is now")
    known = {current: now} | known
    chosen = st.selectbox(label, list(known), help=about, key=key)
    return known[str(chosen)]


def bounds(field: JsonSchema) -> str:
    """Return what a field takes, for its label; empty = anything."""
    low = field.get("minimum", field.get("exclusiveMinimum"))
    high = field.get("maximum", field.get("exclusiveMaximum"))
    if low is None and high is None:
        return ""
    if low is not None and (high is None or high >= NO_BOUND):
        return f" ({'from' if 'minimum' in field else 'above'} {_number(low)})"
    return f" ({_number(low)} … {_number(high)})" if low is not None else f" (to {_number(high)})"


def _number(bound: float) -> str:
    """Return a bound as it is typed into the field, and never as 3.6e+06."""
    return f"{bound:,.6f}".rstrip("0").rstrip(".")
