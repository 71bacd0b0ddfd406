"""A trace is on the disk before its order is sent, and is never taken for nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import StorageError
from storage.files import forget_trace, read_trace, write_trace


def test_trace_is_written_read_and_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    assert read_trace(path) is None
    write_trace(path, identity="0xabc", account="mine", at_ns=5)
    found = read_trace(path)
    assert found is not None
    assert (found.identity, found.account, found.at_ns) == ("0xabc", "mine", 5)
    assert [one.name for one in tmp_path.iterdir()] == ["trace.json"]
    forget_trace(path)
    assert read_trace(path) is None


def test_trace_that_cannot_be_read_is_not_taken_for_none(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    path.write_text("{")
    with pytest.raises(StorageError, match="by hand"):
        read_trace(path)


def test_trace_that_cannot_be_written_says_that_nothing_was_sent(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nothing was sent"):
        write_trace(tmp_path / "no" / "trace.json", identity="0xabc", account="mine", at_ns=5)
