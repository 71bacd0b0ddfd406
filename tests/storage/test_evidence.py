"""Evidence that is shipped with the program: how it is written, and what the file must say."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from engine.errors import StorageError
from engine.strategies.registry import STRATEGIES
from storage.evidence import SHIPPED, ship_evidence, shipped_evidence
from tests.domain.test_evidence import EARNS
from tests.kit.shipped import ship


def test_every_strategy_of_the_program_is_shipped_with_evidence_once_for_each_data() -> None:
    rows = shipped_evidence()
    own = {name for name, kind in STRATEGIES.items() if kind.__module__.startswith("engine.")}
    assert {row.strategy for row in rows} == own
    assert len({(row.strategy, row.data) for row in rows}) == len(rows)


def test_a_shipped_row_names_the_hash_of_its_data_its_code_its_date_and_its_trials() -> None:
    hashes: dict[str, str] = {}
    for row in shipped_evidence():
        assert len(row.data_hash) == 16
        assert len(row.digest) == 12
        assert hashes.setdefault(row.data, row.data_hash) == row.data_hash
        assert row.ended_ns <= row.rules_ns <= row.proved_ns
        assert row.trials >= 1
    assert len(set(hashes.values())) == len(hashes)


def test_shipped_rows_are_a_line_each_and_keep_since_when_their_rules_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = replace(EARNS, rules_ns=9, proved_ns=9)
    file = ship(monkeypatch, tmp_path, replace(EARNS, strategy="z"), EARNS)
    assert [line[:14] for line in file.read_text().splitlines()] == [
        "[", '{"strategy":"g', '{"strategy":"z', "]",
    ]  # fmt: skip
    ship_evidence([later, replace(later, digest="other", data="night")])
    assert [(row.data, row.rules_ns) for row in shipped_evidence("grid")] == [
        ("day", EARNS.rules_ns), ("night", 9),
    ]  # fmt: skip
    assert shipped_evidence("z") == []
    ship_evidence([replace(EARNS, strategy="z")], beside=True)
    assert [row.strategy for row in shipped_evidence()] == ["grid", "grid", "z"]
    assert file != SHIPPED


def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ship(monkeypatch, tmp_path, EARNS).write_text("[{}]")
    with pytest.raises(StorageError, match=r"shipped\.json.*strategy"):
        ship_evidence([EARNS])
