from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from engine import log
from engine.config import LogLevel
from engine.redaction import HIDDEN, Redactor

KEY = "0x" + "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"
SECRET = "kR9-u$0p'q"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    structlog.reset_defaults()
    root.handlers[:], root.level = handlers, level


def configure(stream: io.StringIO, level: LogLevel = LogLevel.INFO) -> None:
    log.configure(
        level=level,
        redactor=Redactor([SECRET]),
        stream=stream,
        now_ns=lambda: 1_776_081_600_123_456_789,
    )


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_line_is_one_object_with_utc_time_level_event_and_fields(stream: io.StringIO) -> None:
    configure(stream)
    log.get("executor").info("order.accepted", order=7)
    assert lines(stream) == [
        {
            "time": "2026-04-13T12:00:00.123456Z",
            "level": "info",
            "event": "order.accepted",
            "room": "executor",
            "order": 7,
        }
    ]
    assert list(lines(stream)[0])[:3] == ["time", "level", "event"]


def test_level_below_the_configured_one_is_silent(stream: io.StringIO) -> None:
    configure(stream, LogLevel.WARNING)
    log.get("x").info("a")
    logging.getLogger("library").info("b")
    log.get("x").warning("c")
    assert [line["event"] for line in lines(stream)] == ["c"]


def test_libraries_are_received_from_warning_on_unless_everything_is(stream: io.StringIO) -> None:
    configure(stream)
    logging.getLogger("library").info("silent")
    configure(stream, LogLevel.DEBUG)
    logging.getLogger("library").debug("received")
    assert [line["event"] for line in lines(stream)] == ["received"]


def test_secret_in_fields_and_texts_never_appears(stream: io.StringIO) -> None:
    configure(stream)
    log.get("venue").warning(
        f"auth.refused {SECRET}", headers={"POLY_SIGNATURE": "abc"}, key=KEY, nested=[{"a": SECRET}]
    )
    assert SECRET not in stream.getvalue()
    assert KEY[2:] not in stream.getvalue()
    assert lines(stream)[0]["headers"] == {"POLY_SIGNATURE": HIDDEN}


def test_secret_in_a_chain_of_exceptions_never_appears(stream: io.StringIO) -> None:
    configure(stream)
    try:
        try:
            raise KeyError(SECRET)
        except KeyError as cause:
            raise ValueError(f"cannot sign with {KEY}") from cause
    except ValueError:
        log.get("venue").exception("signing.failed", error=ValueError(SECRET))
    (line,) = lines(stream)
    assert "ValueError: cannot sign with" in line["exception"]
    assert "KeyError" in line["exception"]
    assert SECRET not in stream.getvalue()
    assert json.dumps(SECRET)[1:-1] not in stream.getvalue()
    assert KEY[2:] not in stream.getvalue()


def test_what_libraries_log_takes_the_same_path(stream: io.StringIO) -> None:
    configure(stream)
    try:
        raise OSError(SECRET)
    except OSError:
        logging.getLogger("httpx").exception("sent %s with %s", {"api_key": "zz"}, KEY)
    (line,) = lines(stream)
    assert line["level"] == "error"
    assert line["logger"] == "httpx"
    assert line["event"] == f"sent {{'api_key': {HIDDEN}}} with {HIDDEN}"
    assert "OSError" in line["exception"]
    assert SECRET not in stream.getvalue()


def test_loggers_made_before_configure_obey_it(stream: io.StringIO) -> None:
    early = log.get("early")
    configure(stream)
    early.info("late")
    assert lines(stream)[0]["event"] == "late"


def test_context_is_carried_into_every_line(stream: io.StringIO) -> None:
    configure(stream)
    with structlog.contextvars.bound_contextvars(account="paper"):
        log.get("x").info("a")
    assert lines(stream)[0]["account"] == "paper"


@pytest.mark.parametrize(
    ("at_ns", "text"),
    [(0, "1970-01-01T00:00:00.000000Z"), (1_999_999_999, "1970-01-01T00:00:01.999999Z")],
)
def test_time_is_told_in_utc_and_cut_not_rounded(at_ns: int, text: str) -> None:
    assert log.iso(at_ns) == text
