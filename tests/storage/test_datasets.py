"""Data sets on the disk: what is read back, what a changed byte leads to, what is given away."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import BadInput, StorageError
from storage import datasets
from storage.datasets import (
    Checked,
    DataKind,
    Dataset,
    DatasetWriter,
    DataTrust,
    Judgement,
    NamedFile,
    RowCounts,
)

S = 1_000_000_000


def made(folder: Path, count: int = 5, *, name: str = "x") -> Dataset:
    rows = [(n * S, 100_000_000 + n, 50_000_000, 1, n) for n in range(1, count + 1)]
    with DatasetWriter(folder, name, DataKind.TRADES) as writer:
        writer.part(NamedFile("a.csv", "0" * 64, Checked.NONE, "plain_trades"), RowCounts(), rows)
        judgement = Judgement(at_ns=7, trust=DataTrust.UNKNOWN, reason="made here")
        return writer.finish("venue:A/B", judgement, RowCounts())


def test_rows_are_read_back_by_time(tmp_path: Path) -> None:
    found = made(tmp_path)
    assert datasets.datasets(tmp_path) == [found]
    assert (found.rows, found.first_ns, found.last_ns, found.venue) == (5, S, 5 * S, "venue")
    blocks = list(datasets.columns(tmp_path / "x", since_ns=2 * S, until_ns=4 * S))
    assert [list(block[0]) for block in blocks] == [[2 * S, 3 * S]]
    assert not list(datasets.columns(tmp_path / "x", since_ns=9 * S))


def test_a_part_of_the_time_reads_the_groups_of_that_time_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets, "GROUP_ROWS", 2)
    made(tmp_path, 11)
    read: list[int] = []
    read_group = datasets.pq.ParquetFile.read_row_group

    def counted(file: datasets.pq.ParquetFile, group: int) -> datasets.pa.Table:
        read.append(group)
        return read_group(file, group)

    monkeypatch.setattr(datasets.pq.ParquetFile, "read_row_group", counted)
    for since in range(13):
        for until in range(since + 1, 14):
            read.clear()
            blocks = datasets.columns(tmp_path / "x", since_ns=since * S, until_ns=until * S)
            rows = [at_ns for block in blocks for at_ns in block[0]]
            assert rows == [n * S for n in range(1, 12) if since <= n < until]
            assert read == sorted({(n - 1) // 2 for n in range(1, 12) if since <= n < until})


def test_a_changed_byte_is_found(tmp_path: Path) -> None:
    made(tmp_path)
    assert datasets.verify(tmp_path / "x") == []
    part = tmp_path / "x" / "part-00001.parquet"
    raw = bytearray(part.read_bytes())
    raw[40] ^= 1
    part.write_bytes(raw)
    assert datasets.verify(tmp_path / "x") == [
        f"{part}: its bytes changed since the import of a.csv"
    ]
    with pytest.raises(StorageError, match=r"part-00001.parquet is damaged: .*import it again"):
        list(datasets.columns(tmp_path / "x"))


def test_rows_are_given_away_as_csv_and_never_over_another_file(tmp_path: Path) -> None:
    made(tmp_path, 2)
    target = tmp_path / "out.csv"
    assert datasets.export_csv(tmp_path / "x", target) == 2
    assert target.read_text().splitlines() == [
        "at_ns,price,size,side,id",
        "1000000000,1.00000001,0.5,1,1",
        "2000000000,1.00000002,0.5,1,2",
    ]
    with pytest.raises(BadInput, match="name another file"):
        datasets.export_csv(tmp_path / "x", target)


def test_a_deleted_data_set_is_gone_and_its_name_is_free(tmp_path: Path) -> None:
    made(tmp_path)
    assert datasets.delete(tmp_path, "x").rows == 5
    assert datasets.datasets(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
    assert made(tmp_path, 1).rows == 1


@pytest.mark.parametrize("name", ["", ".x", "a/b", "../x", "x.importing", "x" * 101])
def test_what_is_no_name_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no name of a data set"):
        DatasetWriter(tmp_path, name, DataKind.BARS)


def test_a_part_is_another_data_set_and_the_whole_stays(tmp_path: Path) -> None:
    whole = made(tmp_path)
    part = datasets.trim(tmp_path, "x", "y", (2 * S, 4 * S), 9)
    assert (part.rows, part.first_ns, part.last_ns) == (2, 2 * S, 3 * S)
    assert part.judged.reason == "a part of x: made here"
    assert datasets.datasets(tmp_path) == [whole, part]
    with pytest.raises(BadInput, match="hold no row"):
        datasets.trim(tmp_path, "x", "z", (90 * S, 91 * S), 9)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x", "y"]


def test_a_part_keeps_the_gaps_that_lie_in_it(tmp_path: Path) -> None:
    gaps = RowCounts()
    gaps.gap(2 * S, 3 * S)
    with DatasetWriter(tmp_path, "x", DataKind.TRADES) as writer:
        named = NamedFile("a.csv", "0" * 64, Checked.NONE, "binance_trades")
        writer.part(named, RowCounts(), [(n * S, 10**8, 10**8, 1, n) for n in (1, 2, 4, 5)])
        judgement = Judgement(at_ns=7, trust=DataTrust.GAPS, reason="1 times of missing trade ids")
        writer.finish("venue:A/B", judgement, gaps)
    with_gap = datasets.trim(tmp_path, "x", "y", (2 * S, 9 * S), 9)
    assert (with_gap.gaps, with_gap.judged.trust) == (1, DataTrust.GAPS)
    without = datasets.trim(tmp_path, "x", "z", (4 * S, 9 * S), 9)
    assert (without.gaps, without.judged.trust) == (0, DataTrust.COMPLETE)
