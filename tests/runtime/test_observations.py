"""The watched file and the webhook: what is taken, what is refused, and where they end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from engine.errors import BadInput
from engine.runtime import observations
from engine.runtime.observations import (
    LINE_BYTES_MAX,
    LINES_AT_ONCE,
    ObservedFile,
    Webhook,
    parse_observed,
    webhook_token,
)
from tests.ports import free_port

NOW_NS = 1_790_000_000_000_000_000


def test_a_line_says_what_was_observed() -> None:
    raw = b'{"key": "signal:eth", "value": {"side": "buy", "confidence": 1}, "at": 1789999999.5}'
    event = parse_observed(raw, "inbox", NOW_NS)
    assert (event.key, event.value) == ("signal:eth", {"side": "buy", "confidence": 1.0})
    assert (event.at_ns, event.trust, event.source) == (NOW_NS - 500_000_000, 1.0, "inbox")
    said = b'{"key": "a", "value": 2, "at": "2026-09-21T14:13:20Z", "trust": 0.5, "source": "me"}'
    event = parse_observed(said, "inbox", NOW_NS)
    assert (event.at_ns, event.trust, event.source) == (NOW_NS, 0.5, "me")


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b"buy", "one JSON object"),
        (b'{"key": "a"}', "missing required field `value`"),
        (b'{"key": "a", "value": 1, "confidence": 1}', "unknown field `confidence`"),
        (b'{"key": "a", "value": true}', "not an observation"),
        (b'{"key": "a", "value": 1, "at": 1790000001}', "in the future"),
        (b'{"key": "a", "value": 1, "at": 1790000000000}', "seconds since 1970"),
        (b'{"key": "a", "value": 1, "at": "2026-09-21T13:33:20"}', "names no time zone"),
        (b'{"key": "a", "value": 1, "at": "noon"}', "is no time"),
        (b'{"key": "a", "value": "' + b"x" * LINE_BYTES_MAX + b'"}', "has at most 16,384"),
    ],
)
def test_what_is_none_is_refused_in_a_sentence(raw: bytes, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        parse_observed(raw, "inbox", NOW_NS)


@pytest.fixture
def watched(tmp_path: Path) -> tuple[Path, ObservedFile, list[str]]:
    notes: list[str] = []
    path = tmp_path / "inbox.jsonl"
    path.write_bytes(b"old\n")
    file = ObservedFile(path, notes.append)
    assert file.look() == []
    return path, file, notes


def append(path: Path, raw: bytes) -> None:
    with path.open("ab") as file:
        file.write(raw)


def test_lines_written_while_it_is_watched_are_read_whole_and_once(watched: Any) -> None:
    path, file, _ = watched
    append(path, b"one\n\ntwo\nthr")
    assert file.look() == [b"one\n", b"two\n"]
    append(path, b"ee\n")
    assert file.look() == [b"three\n"]
    assert file.look() == []


def test_a_file_that_was_replaced_or_shortened_is_read_from_its_beginning(watched: Any) -> None:
    path, file, _ = watched
    path.write_bytes(b"1\n")
    assert file.look() == [b"1\n"]
    path.unlink()
    assert file.look() == []
    path.write_bytes(b"2\n3\n")
    assert file.look() == [b"2\n", b"3\n"]


def test_a_file_that_comes_into_being_is_read_whole(tmp_path: Path) -> None:
    file = ObservedFile(tmp_path / "inbox.jsonl", pytest.fail)
    file.path.write_bytes(b"one\n")
    assert file.look() == [b"one\n"]


def test_one_look_takes_so_many_lines_and_a_flood_is_left_out(
    watched: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, file, notes = watched
    append(path, b"x\n" * (LINES_AT_ONCE + 1))
    assert (len(file.look()), len(file.look())) == (LINES_AT_ONCE, 1)
    monkeypatch.setattr(observations, "BEHIND_BYTES_MAX", 100)
    append(path, b"x\n" * 51)
    assert file.look() == []
    assert notes == ["inbox.jsonl: 102 bytes at once are too many, they are left out"]


def test_the_token_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "token"
    token = webhook_token(path)
    assert len(token) >= 32
    assert webhook_token(path) == token
    assert path.stat().st_mode & 0o777 == 0o600


async def asked(take: Callable[[bytes], dict[str, object]], calls: list[dict[str, Any]]) -> Any:
    """Serve and ask; return status and answer of each call."""
    over, port, answers = asyncio.Event(), free_port(), []
    serving = asyncio.create_task(Webhook("t0ken", take, lambda: NOW_NS).serve(port, over))
    async with aiohttp.ClientSession() as session:
        for call in calls:
            for _ in range(100):
                try:
                    got = await session.post(f"http://127.0.0.1:{port}/observed", **call)
                    break
                except aiohttp.ClientConnectorError:
                    await asyncio.sleep(0.01)
            answers.append((got.status, await got.json()))
    over.set()
    await serving
    return answers


def test_the_webhook_takes_what_comes_with_the_token_alone(monkeypatch: Any) -> None:
    taken: list[bytes] = []

    def take(raw: bytes) -> dict[str, object]:
        taken.append(raw)
        if raw == b"bad":
            raise BadInput("it is bad")
        return {"received": "signal:eth"}

    monkeypatch.setattr(observations, "A_SECOND_MAX", 3)
    right = {"Authorization": "Bearer t0ken"}
    answers = asyncio.run(
        asked(
            take,
            [
                {"data": b"{}"},
                {"data": b"{}", "headers": {"Authorization": "Bearer other"}},
                {"data": b"{}", "headers": right | {"Origin": "http://a.page"}},
                {"data": b"{}", "headers": right | {"Host": "evil.example"}},
                {"data": b"good", "headers": right},
                {"data": b"bad", "headers": right},
                {"data": b"x" * (LINE_BYTES_MAX + 1), "headers": right},
                {"data": b"good", "headers": right},
            ],
        )
    )
    assert [status for status, _ in answers] == [401, 401, 403, 403, 200, 400, 413, 429]
    assert answers[4][1] == {"received": "signal:eth"}
    assert answers[5][1] == {"refused": "refused: it is bad"}
    assert taken == [b"good", b"bad"]
    assert "t0ken" not in str(answers)
