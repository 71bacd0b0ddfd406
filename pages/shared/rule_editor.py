"""The editor of a rule: every part of its document by mouse, as a dictionary that is checked."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, get_args, get_type_hints

import streamlit as st

from engine.domain.catalog import IndicatorEntry
from engine.domain.rules import (
    BarNumber,
    BookNumber,
    Comparison,
    PositionNumber,
    TimeNumber,
)
from pages.kit.markdown import literal

RuleDict = dict[str, Any]

NAMES = {
    "entry": "Entry",
    "exit": "Exit: the reason is gone",
    "close": "Close: profit taken, loss stopped, held too long",
    "emergency": "Emergency: leave, and open nothing for a while",
}
KINDS = {
    "indicator": "indicator",
    "bar": "bar",
    "book": "book",
    "position": "position",
    "time": "time (UTC)",
    "number": "number",
}
JOINTS = {"all": "all of these (AND)", "any": "one of these (OR)"}
DEPTH_MAX = 3
_FIELDS: dict[str, list[str]] = {
    kind: list(get_args(get_type_hints(model)["field"]))
    for kind, model in (
        ("bar", BarNumber),
        ("book", BookNumber),
        ("position", PositionNumber),
        ("time", TimeNumber),
    )
}
NEW: RuleDict = {
    "of": "condition",
    "left": {"of": "bar", "field": "close", "bars": "5m"},
    "compare": ">",
    "right": {"of": "number", "value": 0.0},
}


def edit(draft: RuleDict, indicators: Mapping[str, IndicatorEntry], slot: str) -> RuleDict:
    """Draw a draft as widgets; gives the document they stand for."""
    made = dict(draft)
    left, middle, right = st.columns(3)
    made["name"] = left.text_input("Name", draft["name"], key=f"{slot}_name")
    made["title"] = middle.text_input("Title", draft["title"], key=f"{slot}_title")
    made["direction"] = right.selectbox(
        "Direction",
        ["long", "short"],
        key=f"{slot}_direction",
        index=["long", "short"].index(draft.get("direction", "long")),
        format_func={"long": "long: buy", "short": "short: sell, or buy NO"}.__getitem__,
    )
    made["about"] = st.text_input("About", draft.get("about", ""), key=f"{slot}_about")
    numbers = (
        ("share", "Part of the capital", 0.5),
        ("slippage_bps_max", "Slippage, bps", 100.0),
        ("cool_down_s", "Cool-down, s", 0.0),
        ("emergency_rest_s", "Rest after an emergency, s", 3_600.0),
    )
    for column, (name, label, usual) in zip(st.columns(4), numbers, strict=True):
        value = float(draft.get(name, usual))
        made[name] = column.number_input(label, value=value, format="%g", key=f"{slot}_{name}")
    for name, title in NAMES.items():
        with st.container(border=True):
            st.markdown(f"**{literal(title)}**")
            made[name] = _section(draft.get(name), indicators, f"{slot}_{name}")
    return made


def _section(
    part: RuleDict | None, indicators: Mapping[str, IndicatorEntry], key: str
) -> RuleDict | None:
    """Draw a section; one that is not there has a button that begins it."""
    if part is None:
        return copy.deepcopy(NEW) if _clicked("Add a condition", f"{key}_begin") else None
    found = _part(part, indicators, key, 1)
    return None if found is None or found.get("parts") == [] else found


def _clicked(label: str, key: str) -> bool:
    if st.button(label, key=key):
        st.session_state["rule_changed"] = True
        return True
    return False


def _part(
    part: RuleDict, indicators: Mapping[str, IndicatorEntry], key: str, depth: int
) -> RuleDict | None:
    """Draw a condition or a group; None = it was removed."""
    if part["of"] == "condition":
        made = _condition(part, indicators, key)
        if depth == 1 and made is not None and _clicked("Add another", f"{key}_more"):
            return {"of": "all", "parts": [made, copy.deepcopy(NEW)]}
        return made
    joint = st.segmented_control(
        "Holds when",
        list(JOINTS),
        format_func=JOINTS.__getitem__,
        default=part["of"],
        key=f"{key}_joint",
        required=True,
        label_visibility="collapsed",
    )
    found = []
    for number, one in enumerate(part["parts"]):
        kept = _part(one, indicators, f"{key}_{number}", depth + 1)
        if kept is not None and kept.get("parts") != []:
            found.append(kept)
    with st.container(horizontal=True):
        if _clicked("Add a condition", f"{key}_add"):
            found.append(copy.deepcopy(NEW))
        if depth < DEPTH_MAX and _clicked("Add a group", f"{key}_group"):
            found.append({"of": "any" if joint == "all" else "all", "parts": [dict(NEW)]})
    return {"of": str(joint), "parts": found}


def _condition(
    part: RuleDict, indicators: Mapping[str, IndicatorEntry], key: str
) -> RuleDict | None:
    left, compare, right, held, gone = st.columns([4, 2, 4, 1.5, 1.5])
    made: RuleDict = {"of": "condition"}
    with left:
        made["left"] = _operand(part["left"], indicators, f"{key}_left", "Left")
    known = list(get_args(Comparison))
    made["compare"] = compare.selectbox(
        "Compares", known, index=known.index(part["compare"]), key=f"{key}_compare"
    )
    with right:
        made["right"] = _operand(part["right"], indicators, f"{key}_right", "Right")
    made["for_s"] = held.number_input(
        "For, s", value=float(part.get("for_s", 0.0)), format="%g", key=f"{key}_for"
    )
    with gone:
        st.space("small")
        if _clicked("Remove", f"{key}_gone"):
            return None
    return made


def _operand(
    part: RuleDict, indicators: Mapping[str, IndicatorEntry], key: str, label: str
) -> RuleDict:
    """Draw one side of a condition."""
    kinds = list(KINDS)
    kind = str(
        st.selectbox(
            label,
            kinds,
            index=kinds.index(part["of"]),
            format_func=KINDS.__getitem__,
            key=f"{key}_kind",
        )
    )
    same = part if part["of"] == kind else {}
    if kind == "number":
        value = st.number_input(
            "Number", value=float(same.get("value", 0.0)), format="%g", key=f"{key}_value"
        )
        return {"of": "number", "value": value}
    if kind == "indicator":
        return indicator(same, indicators, key)
    fields = _FIELDS[kind]
    field = st.selectbox(
        "Which", fields, index=fields.index(same.get("field", fields[0])), key=f"{key}_field_{kind}"
    )
    made: RuleDict = {"of": kind, "field": field}
    if kind == "bar":
        made["bars"] = st.text_input("Bars", same.get("bars", "5m"), key=f"{key}_bars")
        ago = st.number_input("Bars ago", 0, value=int(same.get("ago", 0)), key=f"{key}_ago")
        made["ago"] = int(ago)
    return made


def indicator(part: RuleDict, indicators: Mapping[str, IndicatorEntry], key: str) -> RuleDict:
    """Draw the choice of an indicator and its settings; gives it as an operand."""
    names = sorted(indicators)
    usual = part.get("name", "RSI")
    name = str(
        st.selectbox(
            "Indicator",
            names,
            index=names.index(usual) if usual in names else 0,
            format_func=lambda one: f"{one}: {indicators[one].title}",
            key=f"{key}_name",
        )
    )
    same = part if part.get("name") == name else {"of": "indicator", "name": name}
    return settings_asked(same, indicators, key)


def settings_asked(same: RuleDict, indicators: Mapping[str, IndicatorEntry], key: str) -> RuleDict:
    """Draw what an indicator is fed with, and its settings; gives it as an operand."""
    name = str(same["name"])
    entry = indicators[name]
    made: RuleDict = {"of": "indicator", "name": name, "settings": {}}
    if entry.feed == "bars":
        made["bars"] = st.text_input("Bars", same.get("bars", "5m"), key=f"{key}_bars_{name}")
    if entry.feed in ("prices", "pairs"):
        made["mids"] = st.checkbox("Of mids", bool(same.get("mids")), key=f"{key}_mids_{name}")
    if entry.feed == "pairs":
        made["other"] = st.text_input("Beside", same.get("other", ""), key=f"{key}_other_{name}")
    given = same.get("settings", {})
    for one, setting in entry.settings.items():
        now, place = given.get(one, setting.default), f"{key}_set_{name}_{one}"
        label = f"{one} ({setting.description})" if setting.description else one
        if isinstance(setting.default, str):
            value: object = st.text_input(literal(label), str(now), key=place)
        elif isinstance(setting.default, int):
            value = int(st.number_input(literal(label), value=int(now), step=1, key=place))
        else:
            value = st.number_input(literal(label), value=float(now), format="%g", key=place)
        if value != setting.default:
            made["settings"][one] = value
    return made
