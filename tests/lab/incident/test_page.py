"""The page: whole in itself, without secrets, with the mode and the verdict in it."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.__main__ import main
from engine.config import Config
from engine.errors import BadInput, ConfigError
from engine.lab.incident.moment import IncidentWindow, read_around, read_at, window
from engine.lab.incident.page import html, write
from engine.lab.incident.run import ComparedRuns, Incident, incident
from engine.log import iso
from storage.incidents import Span, journal_span
from tests.lab.incident.conftest import Journal

S = 1_000_000_000
KEY = "4f" * 32


def data_of(page: str) -> dict[str, Any]:
    found = re.search(r'id="data">([^<]*)<', page)
    assert found
    read: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(found[1])))
    return read


def made(**changed: Any) -> Incident:
    made = Incident(
        window=IncidentWindow(at_ns=10 * S, begin_ns=5 * S, end_ns=15 * S), account="",
        accounts={"one": "demo", "two": "paper"}, compared=ComparedRuns(again=True, notes=[]),
        steps=[], left_out=0,
    )  # fmt: skip
    return msgspec.structs.replace(made, **changed)


def states(data: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what stands after each step, as the page puts it together."""
    now: dict[str, Any] = {}
    found = []
    for step in data["steps"]:
        now |= step["set"]
        found.append({path: value for path, value in now.items() if value is not None})
    return found


def traded_ns(journal: Journal) -> int:
    """The middle order's moment: how long the played clock runs on after the recording differs."""
    return journal.at_ns(journal.of("PlaceOrder"))


@pytest.mark.long
def test_the_page_shows_book_orders_decisions_health_and_settlement(
    past: Config, journal: Journal
) -> None:
    found = incident(past, at_ns=traded_ns(journal), around_ns=60 * S, show=lambda *_: None)
    data = data_of(html(found))
    assert (data["verdict"], data["modes"]) == ("good", ["paper"])
    state = states(data)[-1]
    rooms = {path.partition("/")[0] for path in state}
    assert {"book", "order", "decision", "plan", "account", "fill", "bot", "proof"} <= rooms
    assert {"filled", "cancelled"} & {v["state"] for k, v in state.items() if "order/" in k}
    decided = next(value for path, value in state.items() if path.startswith("decision/"))
    assert decided["gates"]
    assert decided["inputs"]
    times = [step["t"] for step in data["steps"]]
    assert times == sorted(times)
    assert 0 <= times[0] <= times[-1] <= data["span_us"]


@pytest.mark.long
def test_what_happened_is_told_in_the_units_of_its_market(past: Config, journal: Journal) -> None:
    found = incident(past, at_ns=traded_ns(journal), around_ns=60 * S, show=lambda *_: None)
    steps = data_of(html(found))["steps"]
    filled = [step["w"] for step in steps if "is filled" in step["w"]]
    assert filled
    assert all(re.search(r"is filled: [\d.]+ at [\d.]+¢ in ", text) for text in filled), filled
    traded = [step for step in steps if "a trade of" in step["w"]]
    assert traded
    assert all(f" in {step['i']}" in step["w"] for step in traded)
    raw = [step["w"] for step in steps if re.search(r" (micro|e8|ns) \d", step["w"])]
    assert raw == []


@pytest.mark.long
def test_a_step_has_the_time_of_its_record(past: Config, journal: Journal) -> None:
    at_ns = traded_ns(journal) + 335_862
    data = data_of(html(incident(past, at_ns=at_ns, around_ns=60 * S, show=lambda *_: None)))
    kept = {step["seq"]: data["begin_us"] + step["t"] for step in data["steps"] if "seq" in step}
    assert kept
    assert kept == {seq: journal.at_ns(seq) // 1_000 for seq in kept}
    assert data["begin_us"] + data["moment_us"] == at_ns // 1_000


@pytest.mark.long
def test_an_order_at_rest_stands_at_its_level_of_the_book(past: Config, journal: Journal) -> None:
    found = incident(past, at_ns=traded_ns(journal), around_ns=60 * S, show=lambda *_: None)
    open_orders = [
        order
        for state in states(data_of(html(found)))
        for path, order in state.items()
        if path.startswith("order/") and order["state"] == "open"
    ]
    assert open_orders
    assert all(0 < order["level"] < 10_000 for order in open_orders)


def test_the_page_needs_no_network() -> None:
    page = html(made())
    assert not re.findall(r"(?:src|href)=|url\(|import |fetch\(|XMLHttp", page)
    assert "default-src 'none'" in page


def test_what_looks_like_a_secret_is_hidden() -> None:
    step = {"t": 0, "k": "house", "w": f"api_key={KEY} and </script><b>", "set": {"x/secret": KEY}}
    page = html(made(steps=[step]))
    assert "</script><b>" not in page
    text = json.dumps(data_of(page))
    assert KEY not in text
    assert "[hidden]" in text


def test_a_page_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "new" / "page.html"
    assert write(made(), target) == target.stat().st_size
    assert [path.name for path in target.parent.iterdir()] == ["page.html"]
    assert data_of(target.read_text())["modes"] == ["demo", "paper"]
    (tmp_path / "taken.html").mkdir()
    with pytest.raises(OSError, match="taken"):
        write(made(), tmp_path / "taken.html")
    assert not list(tmp_path.glob(".*unfinished"))


# -- the command -----------------------------------------------------------------------------------


def run(past: Config, monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setenv("PITBOSS_HOME", str(past.home))
    return main(["incident", *words])


def test_the_command_tells_what_was_the_same(
    past: Config,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    at = iso(journal_span(past.journal_path).last_ns - 60 * S)
    page = tmp_path / "one.html"
    assert run(past, monkeypatch, "--at", at, "--json", "--html", str(page)) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["same"], result["difference"], result["html_bytes"]) == (
        True, None, page.stat().st_size,
    )  # fmt: skip
    assert result["accounts"] == {"paper": "paper"}
    assert run(past, monkeypatch, "--at", at, "--account", "paper") == 0
    assert "are identical byte for byte" in capsys.readouterr().out


def test_the_command_ends_with_a_problem_where_it_differs(
    past: Config,
    journal: Journal,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    seq = journal.of("CancelOrders")
    journal.change(seq, lambda body: body.replace(b"paper", b"pepar"))
    assert run(past, monkeypatch, "--at", iso(journal.at_ns(seq))) == 1
    assert f"IT DIFFERS: record {seq}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (
            ("--at", "yesterday"),
            2,
            "'yesterday' is no moment: write a time as 2026-03-01T12:30:05Z",
        ),
        (("--at", "2026-03-01T12:30:05Z", "--around", "9"), 2, "write a length as 500ms, 120s"),
        (("--at", "2001-01-01T00:00:00Z"), 3, "is outside of it"),
        (("--at", "2026-04-13T12:03:00Z", "--account", "x"), 3, "it knows: paper"),
    ],
)
def test_bad_input_is_one_clear_sentence(
    past: Config,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    assert run(past, monkeypatch, *words) == code
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1


# -- the moment ------------------------------------------------------------------------------------


def test_times_are_read_as_people_write_them() -> None:
    assert read_at("1970-01-01T00:00:10Z") == 10 * S
    assert read_at("1970-01-01T00:00:10") == 10 * S
    assert read_at("1970-01-01T01:00:10.5+01:00") == 10 * S + S // 2
    assert read_at("1776081409871942001") == 1_776_081_409_871_942_001
    assert read_around("2m") == read_around("120s") == 120 * S
    assert read_around("500ms") == S // 2


@pytest.mark.parametrize("text", ["", "0s", "-1s", "61m", "12", "1d"])
def test_a_length_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--around"):
        read_around(text)


def test_a_moment_just_behind_the_journal_is_shown() -> None:
    span = Span(first_seq=1, first_ns=100 * S, last_seq=9, last_ns=200 * S)
    assert window(205 * S, S, span).begin_ns == 204 * S
    with pytest.raises(BadInput, match="outside"):
        window(300 * S, S, span)
