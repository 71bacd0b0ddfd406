"""Paths into the settings, and the patch that leads from one document to another."""

from __future__ import annotations

import doctest
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import BadRequest
from storage import settings_paths
from storage.settings import merged
from storage.settings_paths import patch_between, value_at, with_value, without

DOCUMENT: dict[str, Any] = {
    "accounts": {"paper": {"name": "paper", "limits": {"daily_loss_max": {"percent": 5.0}}}},
    "bots": {"a": {"name": "a"}, "a.b": {"name": "a.b", "capital": 1.0}},
}


def test_examples_in_the_docstrings_are_right() -> None:
    assert doctest.testmod(settings_paths).failed == 0


def test_a_name_with_a_dot_is_found_before_a_shorter_one() -> None:
    assert value_at(DOCUMENT, "bots.a.b.capital") == 1.0
    assert value_at(DOCUMENT, "bots.a") == {"name": "a"}
    assert with_value(DOCUMENT, "bots.a.b.capital", 2)["bots"]["a.b"]["capital"] == 2


def test_a_value_is_replaced_whole() -> None:
    path = "accounts.paper.limits.daily_loss_max"
    changed = with_value(DOCUMENT, path, {"absolute": 50})
    assert value_at(changed, path) == {"absolute": 50}
    assert patch_between(DOCUMENT, changed)["accounts"]["paper"] == {
        "limits": {"daily_loss_max": {"absolute": 50, "percent": None}}
    }


def test_what_is_removed_is_gone_and_its_neighbour_stays() -> None:
    assert set(without(DOCUMENT, "bots.a")["bots"]) == {"a.b"}
    assert set(without(DOCUMENT, "bots")) == {"accounts"}


@pytest.mark.parametrize(
    ("path", "sentence"),
    [("bots.c", "known: a, a.b"), ("bots.a.name.x", "'x' is not known there"), ("", "is no path")],
)
def test_a_path_that_leads_nowhere_is_refused_with_what_is_known(path: str, sentence: str) -> None:
    with pytest.raises(BadRequest, match=sentence) as refused:
        without(DOCUMENT, path)
    assert refused.value.reason == "no_such_setting"
    with pytest.raises(BadRequest, match=r"is the value 'a'|is no path|bots\.c"):
        with_value(DOCUMENT, path, 1) if path != "bots.c" else value_at(DOCUMENT, path)


def test_what_undoes_an_edit_makes_the_document_of_before() -> None:
    before = {"a": {"x": 1, "deep": {"y": [1]}}, "b": None, "c": 3}
    after = merged(json.loads(json.dumps(before)), {"a": {"deep": None}, "c": None, "d": {"z": 1}})
    undone = merged(after, patch_between(after, before))
    assert {k: v for k, v in undone.items() if v is not None} == {"a": before["a"], "c": 3}


_LEAVES = st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2)
_DOCUMENTS = st.dictionaries(
    st.sampled_from("abc"),
    st.recursive(
        _LEAVES, lambda inner: st.dictionaries(st.sampled_from("xyz"), inner), max_leaves=5
    ),
)


@pytest.mark.long
@given(_DOCUMENTS, _DOCUMENTS)
def test_a_patch_makes_the_second_of_the_first(one: dict[str, Any], two: dict[str, Any]) -> None:
    assert merged(one, patch_between(one, two)) == two
