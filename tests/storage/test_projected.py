"""Nouns of the projection are found by file; a plug-in's that fails takes nothing with it."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any, cast

import msgspec
import pytest

from engine.errors import StorageError
from engine.plugins import Found
from storage.fold import Fold, Noun, ProjectedTable, Rows
from storage.journal import Record
from storage.projected import _refusal, _sparing


class Told(msgspec.Struct, frozen=True, tag=True):
    """A message."""


RECORD = Record(seq=7, at_ns=1, account="a", kind="Told", body=b"")


def found(plugin: str) -> Found:
    module = ModuleType("counts")
    module.__file__ = "counts.py"
    return Found("counts", module, Path("counts.py"), plugin)


def folded(error: Exception, plugin: str) -> Fold:
    """Fold one message of a noun whose handler raises, beside one that works."""
    seen: list[Any] = []

    def fails(fold: Fold, message: Any, record: Record) -> None:
        raise error

    def works(fold: Fold, message: Any, record: Record) -> None:
        seen.append(message)

    noun = _sparing(found(plugin), Noun((), {Told: fails}))
    fold = Fold(cast("Rows", None), {"Told": [noun.handlers[Told], works]})
    fold.emit(Told(), RECORD)
    assert seen == [Told()]
    return fold


def test_a_record_that_a_plugins_handler_fails_on_is_told_and_the_other_nouns_fold() -> None:
    (problem,) = folded(KeyError("size"), "toy").problems
    assert problem.startswith("record 7 is not in the tables of counts: plug-in toy: counts.py:")
    assert "KeyError: 'size'" in problem


def test_a_disk_that_refuses_is_no_fault_of_a_plugin() -> None:
    with pytest.raises(StorageError, match="full"):
        folded(StorageError("full"), "toy")


def test_a_handler_of_the_product_that_fails_raises() -> None:
    with pytest.raises(KeyError):
        folded(KeyError("size"), "")


def test_a_table_of_a_plugin_has_its_name() -> None:
    class Row(msgspec.Struct):
        account: str

    def refusal(name: str) -> str:
        noun = Noun((ProjectedTable(Row, name, ("account",)),), {})
        return _refusal(found("toy"), noun, {})

    assert "call its table toy__orders" in refusal("orders")
    assert refusal("toy__orders") == ""
