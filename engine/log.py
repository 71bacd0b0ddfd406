"""The log: events with fields, one JSON object per line. Commentary; the journal is the truth.

`configure` is called once by a program's start, with the redactor that knows its secrets. After
that `get(room).info("order.accepted", order=7)` writes `time`, `level`, `event`, the fields, and
where an exception is logged, its traceback. What libraries log by `logging` takes the same path.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TextIO, cast

import orjson
import structlog
from structlog.typing import FilteringBoundLogger, Processor

from engine.config import LogLevel
from engine.redaction import Redactor

Fields = MutableMapping[str, Any]
LEVELS = {
    LogLevel.DEBUG: logging.DEBUG,
    LogLevel.INFO: logging.INFO,
    LogLevel.WARNING: logging.WARNING,
    LogLevel.ERROR: logging.ERROR,
}


def configure(
    *,
    level: LogLevel,
    redactor: Redactor,
    stream: TextIO | None = None,
    now_ns: Callable[[], int] = time.time_ns,
) -> None:
    """Send everything logged in this process to `stream` (default: standard error).

    `now_ns` gives the time of a line in nanoseconds UTC; a simulation hands in its own.
    """
    target = stream or sys.stderr
    prepare: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
    ]
    finish: list[Processor] = [_Line(redactor, now_ns)]
    structlog.configure(
        processors=[*prepare, *finish],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=target),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*prepare, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *finish],
        )
    )
    # What libraries find worth an info is none to us.
    quiet = logging.DEBUG if level is LogLevel.DEBUG else max(LEVELS[level], logging.WARNING)
    logging.basicConfig(handlers=[handler], level=quiet, force=True)


@contextmanager
def silent() -> Iterator[None]:
    """Write nothing for a while: a simulated engine's commentary would hide the judges'."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)


def get(room: str) -> FilteringBoundLogger:
    return cast("FilteringBoundLogger", structlog.get_logger(room=room))


class _Line:
    """The last processor: time first, secrets out, one JSON object."""

    def __init__(self, redactor: Redactor, now_ns: Callable[[], int]) -> None:
        self._redactor = redactor
        self._now_ns = now_ns

    def __call__(self, _logger: object, _method: str, fields: Fields) -> str:
        head = {
            "time": iso(self._now_ns()),
            "level": fields.pop("level", "info"),
            "event": fields.pop("event", ""),
        }
        line = self._redactor.value({**head, **fields})
        return orjson.dumps(line, option=orjson.OPT_NON_STR_KEYS).decode()


def second(at_ns: int) -> str:
    """Return a time as a person reads it: 2026-03-01 14:05:09 UTC."""
    return f"{datetime.fromtimestamp(at_ns // 1_000_000_000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def iso(at_ns: int) -> str:
    """Return a time as ISO-8601 UTC with microseconds."""
    seconds, rest_ns = divmod(at_ns, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest_ns // 1_000)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
