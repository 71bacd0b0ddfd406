"""Connections that bring nothing, as the engine tells them with its heartbeat."""

from __future__ import annotations

from collections.abc import Iterator

from engine.domain.plain import PlainDict
from engine.watch.conditions import Since, StateSeen, judged
from engine.watch.desk import Trouble

SECOND_NS = 1_000_000_000
LOST = "connection_lost"
PRIVATE = "private "
"""Before an account, whose own stream brings its orders and fills."""


class Connections:
    """Reads how the feeds are, and the private stream of each account."""

    every_s = 2.0
    kinds = (LOST,)

    def __init__(self) -> None:
        self._since = Since()

    def find(self, seen: StateSeen) -> Iterator[Trouble]:
        """Give connections in trouble, or silent with markets to hear of, for too long."""
        for_ns = seen.alerts.thresholds.connection_s * SECOND_NS
        lost, unread = judged("feed", _lines(seen.detail.get("feeds")), _name, _trouble)
        streams = _lines(seen.detail.get("private_lost"))
        private, more = judged("stream", streams, _subject, _private)
        yield from (*unread, *more)
        found = {one.subject: one for one in (*lost.values(), *private.values())}
        stood = seen.stood(LOST)
        longer = self._since.longer(found, for_ns, seen.now_ns, stood)
        silent, _ = judged("feed", _lines(seen.detail.get("feeds")), _name, _silence)
        for name, silent_ns in silent.items():
            if name not in longer and silent_ns > for_ns:
                text = f"feed {name}: nothing was received for {silent_ns // SECOND_NS:,} s"
                yield Trouble(kind=LOST, subject=name, text=text)
        for name in sorted(longer):
            yield found[name]


def _lines(given: object) -> list[PlainDict]:
    """Return an object of the heartbeat as rows; one of another form is a row by itself."""
    if not given:
        return []
    if not isinstance(given, dict):
        return [{"name": "*", "said": given}]
    return [{"name": name, "said": said} for name, said in sorted(given.items())]


def _name(row: PlainDict) -> str:
    return str(row["name"])


def _subject(row: PlainDict) -> str:
    return f"{PRIVATE}{row['name']}"


def _trouble(row: PlainDict) -> Trouble | None:
    said = row["said"].get("trouble")
    if not said:
        return None
    return Trouble(kind=LOST, subject=row["name"], text=f"feed {row['name']}: {said}")


def _silence(row: PlainDict) -> int | None:
    """Return how long a feed with markets has been silent, in ns; None = it has none."""
    silent_ms = row["said"].get("last_word_ms")
    if not row["said"].get("markets") or silent_ms is None:
        return None
    return int(silent_ms * 1_000_000)


def _private(row: PlainDict) -> Trouble:
    name, said = row["name"], row["said"]
    if not isinstance(said, dict):
        raise TypeError(f"it is {said!r}")
    return Trouble(
        kind=LOST,
        subject=_subject(row),
        text=f"the private stream of {name}, which brings its orders and fills: {said['why']}",
        mode=said["mode"],
        account=name,
    )


CONDITION = Connections
