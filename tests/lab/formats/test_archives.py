"""Archives of files: a tar of one text is read as the text, many documents as one table."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest

from engine.errors import BadInput
from engine.lab.formats.importing import ImportRequest, import_files, preview
from engine.lab.formats.tables import opened
from storage.datasets import DataKind, columns

BARS = (
    "time,open,high,low,close,volume\n"
    "2024-01-01T00:00:00Z,1.5,2,1,1.75,10\n2024-01-01T00:01:00Z,1.75,2,1.5,2,5\n"
)


def tar(path: Path, files: dict[str, str]) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix in (".gz", ".tgz") else "w") as archive:
        folder = tarfile.TarInfo("all")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, text in files.items():
            one = tarfile.TarInfo(name)
            one.size = len(text.encode())
            archive.addfile(one, io.BytesIO(text.encode()))
    return path


def zipped(path: Path, files: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def rates(symbol: str, *said: tuple[int, float]) -> str:
    events = [{"t": at_ms, "rate": rate} for at_ms, rate in said]
    return json.dumps({"symbol": symbol, "count": len(said), "events": events, "hours": {"8": 1}})


def imported(path: Path, folder: Path, kind: DataKind, **asked: dict[str, str]) -> list[object]:
    request = ImportRequest(files=(path,), instrument="x:A/B", name="x", kind=kind, **asked)
    import_files(request, folder, 1, lambda *_: None)
    return [row for block in columns(folder / "x") for row in zip(*block, strict=True)]


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tgz"])
def test_a_tar_of_one_text_is_read_as_the_text(tmp_path: Path, name: str) -> None:
    plain = tmp_path / "bars.csv"
    plain.write_text(BARS, encoding="utf-8")
    path = tar(tmp_path / name, {"all/bars.csv": BARS})
    assert imported(path, tmp_path / "one", DataKind.BARS) == imported(
        plain, tmp_path / "two", DataKind.BARS
    )


@pytest.mark.parametrize(("name", "packed"), [("a.tar.gz", tar), ("a.zip", zipped)])
def test_documents_of_an_archive_are_one_table_with_what_each_says_beside_its_rows(
    tmp_path: Path, name: str, packed: object
) -> None:
    assert callable(packed)
    files = {
        "all/AUSDT.json": rates("AUSDT", (1_758_124_800_003, 0.00005)),
        "all/BUSDT.json": rates("BUSDT", (1_758_096_000_000, 0.0001), (1_758_124_800_000, -0.03)),
    }
    path = packed(tmp_path / name, files)
    assert opened(path).header == ("symbol", "count", "t", "rate")
    rows = imported(path, tmp_path, DataKind.FUNDING, only={"symbol": "BUSDT"})
    assert [row[0] for row in rows] == [1_758_096_000_000_000_000, 1_758_124_800_000_000_000]
    both = preview(path, ImportRequest(files=(path,), instrument="x:A/B"), 9)
    assert "is of another symbol, 'BUSDT' and not 'AUSDT'" in both.refused


@pytest.mark.long
def test_the_rates_of_one_of_826_perpetuals_are_imported(recordings: Path, tmp_path: Path) -> None:
    path = recordings / "funding_binance_mexc" / "binance_usdm_funding_826sym.tar.gz"
    with tarfile.open(path) as archive:
        member = next(one for one in archive if one.name.endswith("/0GUSDT.json"))
        file = archive.extractfile(member)
        assert file is not None
        events = json.load(file)["events"]
    rows = imported(path, tmp_path, DataKind.FUNDING, only={"symbol": "0GUSDT"})
    assert [row[0] for row in rows] == [one["t"] * 1_000_000 for one in events]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"a.csv": BARS, "b.csv": BARS}, "holds 2 files: an archive of one text"),
        ({"a.json": rates("A", (1, 0.1)), "b.json": "{"}, "b.json, row 1: is no table of JSON"),
        ({"a.parquet": "x"}, "holds a.parquet: an archive of one text"),
        ({}, "holds 0 files"),
    ],
)
def test_another_archive_is_refused_with_its_name(
    tmp_path: Path, files: dict[str, str], said: str
) -> None:
    path = tar(tmp_path / "a.tar.gz", files)
    with pytest.raises(BadInput, match=r"^a\.tar\.gz") as refused:
        list(opened(path).rows)
    assert said in str(refused.value)


@pytest.mark.parametrize("cut", [30, 60])
def test_a_torn_or_damaged_tar_is_refused(tmp_path: Path, cut: int) -> None:
    whole = tar(tmp_path / "a.tar.gz", {"a.csv": BARS}).read_bytes()
    for damaged in (whole[:-cut], whole[:cut] + b"\x00\xff" * 9 + whole[cut + 18 :]):
        (tmp_path / "a.tar.gz").write_bytes(damaged)
        with pytest.raises(BadInput, match=r"^a\.tar\.gz"):
            list(opened(tmp_path / "a.tar.gz").rows)
