"""`watch.db`: what the watch knows, planned and sent. A file of its own beside the state database.

`engine.watch` writes it and needs no engine and no state database; pages read it and leave
requests. A notice is one thing a person should know: an alert the engine stored, or trouble the
watch found itself. A delivery is one message to one channel; it covers notices. Times are ns UTC.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from enum import StrEnum
from pathlib import Path

import msgspec

from engine.domain.plain import PlainDict
from engine.errors import StorageError
from storage.database import (
    connect_writer,
    dicts,
    insert,
    reading,
    storage_errors,
    transaction,
    update,
)

NAME = "watch.db"
LOCK = "watch.lock"
"""In the `run` folder: held by the one watch of a home, which touches it at each turn."""
NEVER_NS = 2**62
"""Later than any time: nothing is to be looked at again."""

KEPT_NS = 90 * 86_400 * 1_000_000_000
"""How long what was sent can be read back."""

ROWS_KEPT_MAX = 50_000
"""Most notices and deliveries, each; the oldest go first."""

ROWS_MAX = 500
"""Most rows a page reads at once."""

MEMORY, PRICE_ALERT = "memory", "price "
"""What the watch remembers over restarts: a row of `meta`, in it a name for each price alert."""

_STEPS = (
    """
CREATE TABLE notices (
    key TEXT PRIMARY KEY, source TEXT NOT NULL, alert INTEGER, kind TEXT NOT NULL,
    subject TEXT NOT NULL, severity TEXT NOT NULL, mode TEXT, account TEXT, bot TEXT,
    instrument TEXT, text TEXT NOT NULL, numbers TEXT NOT NULL, count INTEGER NOT NULL,
    first_ns INTEGER NOT NULL, last_ns INTEGER NOT NULL, ended_ns INTEGER,
    acked_by TEXT, acked_ns INTEGER, look_ns INTEGER NOT NULL, step INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX notices_look ON notices (look_ns);
CREATE INDEX notices_kind ON notices (source, kind, subject);
CREATE INDEX notices_last ON notices (last_ns);
CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT, channel TEXT NOT NULL, rule TEXT NOT NULL,
    reason TEXT NOT NULL, state TEXT NOT NULL, created_ns INTEGER NOT NULL,
    due_ns INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, sent_ns INTEGER,
    error TEXT NOT NULL DEFAULT '', title TEXT NOT NULL DEFAULT ''
);
CREATE INDEX deliveries_due ON deliveries (state, due_ns);
CREATE INDEX deliveries_made ON deliveries (channel, rule, created_ns);
CREATE TABLE covered (
    delivery INTEGER NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
    notice TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (delivery, notice)
) WITHOUT ROWID;
CREATE INDEX covered_notice ON covered (notice);
CREATE TABLE requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, subject TEXT NOT NULL,
    who TEXT NOT NULL, at_ns INTEGER NOT NULL, done_ns INTEGER, answer TEXT NOT NULL DEFAULT ''
);
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
""",
)
"""Scripts that lead an empty file to the present schema; `user_version` counts those done."""

_BESIDE = (
    "CREATE TABLE IF NOT EXISTS counted (kind TEXT, subject TEXT, at_ns INTEGER NOT NULL, "
    "PRIMARY KEY (kind, subject)) WITHOUT ROWID"
)
"""What happened and was counted on another's notice. No step: an older version does without."""


class NoticeSource(StrEnum):
    """Who found what a notice tells."""

    ENGINE = "engine"
    WATCH = "watch"


class Reason(StrEnum):
    """Why a delivery was planned."""

    ALERT = "alert"
    DIGEST = "digest"
    AGAIN = "again"
    """It went on happening after it was sent."""
    ESCALATION = "escalation"
    """No person acknowledged it."""
    OVER = "over"
    TEST = "test"


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    WAITING = "waiting"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    """Given up after its last attempt."""
    DROPPED = "dropped"
    """Nothing was left to tell when it was due."""


ENDS = (DeliveryState.SENT, DeliveryState.FAILED, DeliveryState.DROPPED)


REFUSED = "no such alert"
"""The watch's answer to what acknowledges nothing."""


class RequestKind(StrEnum):
    """What a person asks of the watch."""

    TEST = "test"
    """Send a test through the channel `subject`."""
    ACK = "ack"
    """Acknowledge the notice `subject`."""
    ACK_LINK = "ack_link"
    """Acknowledge what a signed link names, if it is right: `subject` is the link's query."""


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One thing a person should know, and how often it happened."""

    key: str
    """Names it for good."""
    source: NoticeSource
    alert: int | None = None
    """The number of the engine's alert; None = the watch found it."""
    kind: str
    subject: str = ""
    """What of its kind it is about."""
    severity: str
    mode: str | None = None
    account: str | None = None
    bot: str | None = None
    instrument: str | None = None
    text: str
    numbers: dict[str, str] = {}
    """Figures by their names, as a person reads them."""
    count: int = 1
    first_ns: int
    last_ns: int
    ended_ns: int | None = None
    """None = it lasts, or is an event, which has no end."""
    acked_by: str | None = None
    acked_ns: int | None = None
    look_ns: int = 0
    """When rules are asked about it next."""
    step: int = 0
    """How many escalations were planned."""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One message to one channel."""

    id: int
    channel: str
    rule: str
    reason: Reason
    state: DeliveryState
    created_ns: int
    due_ns: int
    attempts: int
    sent_ns: int | None
    error: str
    title: str


class WatchRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a person asked of the watch."""

    id: int
    kind: RequestKind
    subject: str
    who: str
    at_ns: int


_COLUMNS = tuple(field.name for field in msgspec.structs.fields(Notice))


def open_watch(path: Path | str, *, busy_ms: int = 2_000) -> sqlite3.Connection:
    """Open the file for writing, creating it or leading it to the present schema.

    Raises StorageError, also where a newer version wrote it.
    """
    connection = connect_writer(path, synchronous="NORMAL", busy_ms=busy_ms)
    try:
        with storage_errors(path):
            prepare(connection, str(path))
    except BaseException:
        connection.close()
        raise
    return connection


def prepare(connection: sqlite3.Connection, name: str = NAME) -> None:
    """Lead a database to the present schema. Raises StorageError for a newer one."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > len(_STEPS):
        raise StorageError(
            f"{name} was written by a newer version: start that one, or move the file away"
        )
    for number, step in enumerate(_STEPS[version:], version + 1):
        script = f"BEGIN IMMEDIATE;{step}PRAGMA user_version = {number};COMMIT;"
        connection.executescript(script)
    connection.execute(_BESIDE)


@contextmanager
def reading_watch(home: Path) -> Iterator[sqlite3.Connection | None]:
    """Give a reader of the file in a home; None = no watch has run there yet."""
    path = home / NAME
    if not path.is_file() or path.stat().st_size == 0:
        yield None
        return
    with reading(path) as connection:
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        yield connection if found else None


# -- Notices ---------------------------------------------------------------------------------------


def notice_of(row: PlainDict) -> Notice:
    return msgspec.convert({**row, "numbers": json.loads(row["numbers"])}, Notice, strict=False)


def put_notice(connection: sqlite3.Connection, given: Notice) -> None:
    """Write a notice as it stands."""
    cells = {name: getattr(given, name) for name in _COLUMNS} | {
        "numbers": json.dumps(given.numbers)
    }
    moves = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS if name != "key")
    insert(connection, "notices", ends=f" ON CONFLICT (key) DO UPDATE SET {moves}", **cells)


def notice(connection: sqlite3.Connection, key: str) -> Notice | None:
    found = notices_where(connection, "key = ?", (key,))
    return found[0] if found else None


def notices_where(
    connection: sqlite3.Connection, where: str, values: Sequence[object]
) -> list[Notice]:
    """Return notices by a condition of our own words."""
    query = f"SELECT {', '.join(_COLUMNS)} FROM notices WHERE {where}"  # noqa: S608 our own words
    return [notice_of(row) for row in dicts(connection, query, values)]


def unseen(
    connection: sqlite3.Connection, most: int = ROWS_MAX, severity: str = ""
) -> list[Notice]:
    """Return notices that no person has seen and that are not over, the latest first."""
    only = "acked_ns IS NULL AND ended_ns IS NULL AND ? IN ('', severity)"
    return notices_where(connection, f"{only} ORDER BY last_ns DESC LIMIT ?", (severity, most))


def to_look_at(connection: sqlite3.Connection, now_ns: int, most: int = ROWS_MAX) -> list[Notice]:
    """Return the notices rules are to be asked about now, the oldest first."""
    where = "look_ns <= ? ORDER BY last_ns LIMIT ?"
    return notices_where(connection, where, (now_ns, most))


def lasting(connection: sqlite3.Connection) -> list[Notice]:
    """Return the trouble of the watch that lasts."""
    return notices_where(connection, "source = 'watch' AND ended_ns IS NULL AND look_ns >= 0", ())


def open_alerts(connection: sqlite3.Connection, most: int = ROWS_MAX) -> tuple[int, ...]:
    """Return the numbers of the engine's alerts that no person has seen, the newest first."""
    rows = connection.execute(
        "SELECT alert FROM notices WHERE source = 'engine' AND acked_ns IS NULL "
        "ORDER BY last_ns DESC LIMIT ?",
        (most,),
    )
    return tuple(number for (number,) in rows)


def notices_covered(connection: sqlite3.Connection, delivery: int) -> list[tuple[Notice, int]]:
    """Return what a delivery tells, the most severe first, and the count of it sent before."""
    columns = ", ".join(f"n.{name}" for name in _COLUMNS)
    rows = dicts(
        connection,
        f"SELECT {columns}, (SELECT coalesce(max(o.count), 0) FROM covered o "  # noqa: S608 our own words
        "JOIN deliveries d ON d.id = o.delivery WHERE o.notice = n.key AND d.id < c.delivery "
        "AND d.channel = m.channel AND d.state = 'sent') AS before FROM covered c "
        "JOIN deliveries m ON m.id = c.delivery JOIN notices n ON n.key = c.notice "
        "WHERE c.delivery = ? ORDER BY CASE n.severity WHEN 'critical' THEN 0 "
        "WHEN 'warning' THEN 1 ELSE 2 END, n.last_ns DESC",
        (delivery,),
    )
    return [(notice_of(row), before) for row in rows for before in (row.pop("before"),)]


def told(connection: sqlite3.Connection, key: str) -> dict[str, tuple[int, int]]:
    """Return per channel how often a notice had happened when it was sent last, and when."""
    rows = connection.execute(
        "SELECT d.channel, max(c.count), max(coalesce(d.sent_ns, d.created_ns)) FROM covered c "
        "JOIN deliveries d ON d.id = c.delivery WHERE c.notice = ? AND d.state != 'dropped' "
        "GROUP BY d.channel",
        (key,),
    )
    return {channel: (count, at_ns) for channel, count, at_ns in rows}


def acknowledge(connection: sqlite3.Connection, key: str, who: str, now_ns: int) -> bool:
    """Note that a person has seen a notice; False = there is none of this key."""
    return bool(
        connection.execute(
            "UPDATE notices SET acked_by = coalesce(acked_by, ?), acked_ns = coalesce(acked_ns, ?) "
            "WHERE key = ?",
            (who, now_ns, key),
        ).rowcount
    )


# -- Deliveries ------------------------------------------------------------------------------------


def plan(
    connection: sqlite3.Connection,
    *,
    channel: str,
    rule: str,
    reason: Reason,
    due_ns: int,
    now_ns: int,
    covers: Sequence[Notice] = (),
) -> int:
    """Plan a delivery, or join one of the same channel, rule and reason that still waits.

    Gives its number. A waiting one that was tried already is not joined: it repeats what it said.
    """
    found = connection.execute(
        "SELECT id FROM deliveries WHERE channel = ? AND rule = ? AND reason = ? AND attempts = 0 "
        "AND state = 'waiting' AND reason != 'test' LIMIT 1",
        (channel, rule, reason),
    ).fetchone()
    if found is None:
        cursor = insert(
            connection,
            "deliveries",
            channel=channel,
            rule=rule,
            reason=reason,
            state=DeliveryState.WAITING,
            created_ns=now_ns,
            due_ns=due_ns,
        )
        number = int(cursor.lastrowid or 0)
    else:
        number = int(found[0])
    for one in covers:
        insert(
            connection,
            "covered",
            verb="INSERT OR REPLACE",
            delivery=number,
            notice=one.key,
            count=one.count,
        )
    return number


def due(connection: sqlite3.Connection, now_ns: int) -> list[Delivery]:
    """Return what is due, at most one per channel that sends nothing now; the oldest first."""
    rows = dicts(
        connection,
        "SELECT * FROM deliveries WHERE state = 'waiting' AND due_ns <= ? AND channel NOT IN "
        "(SELECT channel FROM deliveries WHERE state = 'sending') ORDER BY due_ns, id LIMIT ?",
        (now_ns, ROWS_MAX),
    )
    first: dict[str, Delivery] = {}
    for row in rows:
        first.setdefault(row["channel"], msgspec.convert(row, Delivery, strict=False))
    return list(first.values())


def delivery(connection: sqlite3.Connection, number: int) -> Delivery | None:
    rows = dicts(connection, "SELECT * FROM deliveries WHERE id = ?", (number,))
    return msgspec.convert(rows[0], Delivery, strict=False) if rows else None


def made_since(connection: sqlite3.Connection, channel: str, rule: str, since_ns: int) -> list[int]:
    """Return when a rule's messages to a channel were planned since a time, the oldest first."""
    rows = connection.execute(
        "SELECT created_ns FROM deliveries WHERE channel = ? AND rule = ? AND created_ns > ? "
        "AND reason NOT IN ('digest', 'test') AND state != 'dropped' ORDER BY created_ns",
        (channel, rule, since_ns),
    )
    return [at_ns for (at_ns,) in rows]


def begin_sending(
    connection: sqlite3.Connection, delivery: int, counts: dict[str, int], title: str
) -> None:
    """Note that a delivery leaves now, and how often each notice had happened by then."""
    connection.execute(
        "UPDATE deliveries SET state = 'sending', attempts = attempts + 1, title = ? WHERE id = ?",
        (title, delivery),
    )
    for key, count in counts.items():
        which = {"delivery": delivery, "notice": key}
        update(connection, "covered", which, count=count)


def settle(connection: sqlite3.Connection, delivery: int, **cells: object) -> None:
    """Write what became of a delivery."""
    update(connection, "deliveries", {"id": delivery}, **cells)


def interrupted(connection: sqlite3.Connection, now_ns: int) -> int:
    """Plan anew what a former watch was sending when it ended: it may have arrived, or not."""
    return connection.execute(
        "UPDATE deliveries SET state = 'waiting', due_ns = ?, error = ? WHERE state = 'sending'",
        (now_ns, INTERRUPTED),
    ).rowcount


INTERRUPTED = "the watch ended while it was sent: it may have arrived, so it is sent once more"


def waiting(connection: sqlite3.Connection) -> int:
    return int(
        connection.execute(
            "SELECT count(*) FROM deliveries WHERE state IN ('waiting', 'sending')"
        ).fetchone()[0]
    )


def leaving(connection: sqlite3.Connection, now_ns: int) -> int:
    """Return how many deliveries are on their way, or due and not tried yet."""
    query = (
        "SELECT count(*) FROM deliveries WHERE state = 'sending' "
        "OR (state = 'waiting' AND attempts = 0 AND due_ns <= ?)"
    )
    return int(connection.execute(query, (now_ns,)).fetchone()[0])


def deliveries(
    connection: sqlite3.Connection, *, before: int | None = None, most: int = ROWS_MAX
) -> list[PlainDict]:
    """Return deliveries, the newest first, each with how many notices it covers."""
    return dicts(
        connection,
        "SELECT d.*, (SELECT count(*) FROM covered c WHERE c.delivery = d.id) AS notices "
        "FROM deliveries d WHERE d.id < ? ORDER BY d.id DESC LIMIT ?",
        (NEVER_NS if before is None else before, most),
    )


def forget(connection: sqlite3.Connection, now_ns: int) -> None:
    """Drop what is older than `KEPT_NS`, and the oldest beyond `ROWS_KEPT_MAX`."""
    ended = "state IN ('sent', 'failed', 'dropped')"
    connection.execute(
        f"DELETE FROM deliveries WHERE {ended} AND (created_ns < ? OR id <= "  # noqa: S608 our own words
        "(SELECT coalesce(max(id), 0) FROM deliveries) - ?)",
        (now_ns - KEPT_NS, ROWS_KEPT_MAX),
    )
    connection.execute(
        "DELETE FROM notices WHERE (ended_ns IS NOT NULL OR acked_ns IS NOT NULL OR "
        "source = 'engine') AND last_ns < ? AND key NOT IN (SELECT notice FROM covered)",
        (now_ns - KEPT_NS,),
    )
    connection.execute("DELETE FROM requests WHERE done_ns < ?", (now_ns - KEPT_NS,))
    connection.execute("DELETE FROM counted WHERE at_ns < ?", (now_ns - KEPT_NS,))


# -- What people ask, and what the watch says of itself --------------------------------------------


def ask(home: Path, kind: RequestKind, subject: str, who: str, now_ns: int) -> int:
    """Leave a request for the watch; gives its number. Raises StorageError."""
    path = home / NAME
    with closing(open_watch(path)) as connection, storage_errors(path), transaction(connection):
        cursor = insert(connection, "requests", kind=kind, subject=subject, who=who, at_ns=now_ns)
        if kind is RequestKind.ACK:  # seen at once, also where no watch runs
            acknowledge(connection, subject, who, now_ns)
    return int(cursor.lastrowid or 0)


def links_waiting(connection: sqlite3.Connection) -> int:
    """Return how many signed links wait for the watch to judge them."""
    query = "SELECT count(*) FROM requests WHERE kind = ? AND done_ns IS NULL"
    return int(connection.execute(query, (RequestKind.ACK_LINK,)).fetchone()[0])


def alert_key(number: int, first_ns: int) -> str:
    """Return the key of the notice that an alert of the engine becomes."""
    return f"e{number}-{first_ns}"


def alert_number(key: str) -> int | None:
    """Return the engine's alert a notice's key is of; None = the watch found it itself."""
    found = re.fullmatch(r"e([0-9]{1,18})-[0-9]+", key)
    return int(found[1]) if found else None


def requests(connection: sqlite3.Connection) -> list[WatchRequest]:
    """Return what is asked and not done yet."""
    rows = dicts(
        connection,
        "SELECT id, kind, subject, who, at_ns FROM requests WHERE done_ns IS NULL ORDER BY id",
    )
    return [msgspec.convert(row, WatchRequest, strict=False) for row in rows]


def answered(connection: sqlite3.Connection, request: int, answer: str, now_ns: int) -> None:
    update(connection, "requests", {"id": request}, done_ns=now_ns, answer=answer)


def answer_of(connection: sqlite3.Connection, request: int) -> str | None:
    """Return what became of a request; None = it waits."""
    row = connection.execute(
        "SELECT answer FROM requests WHERE id = ? AND done_ns IS NOT NULL", (request,)
    ).fetchone()
    return None if row is None else str(row[0])


def tested(connection: sqlite3.Connection, request: int) -> Delivery | None:
    """Return the delivery that a request for a test led to; None = the watch has not begun it."""
    number = answer_of(connection, request)
    return None if number is None else delivery(connection, int(number))


class PriceReached(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one price alert."""

    asked: dict[str, str | float | bool | None] = {}
    """The alert as the watch goes by it: one that was edited since has begun anew."""
    fired: int = 0
    fired_ns: int = 0
    """When it came true last, ns UTC; 0 = never, or before that was kept."""


def prices_reached(connection: sqlite3.Connection) -> dict[str, PriceReached]:
    """Return what came of each price alert the watch has looked at, by its name."""
    kept: dict[str, str] = json.loads(meta(connection, MEMORY) or "{}")
    return {
        name.removeprefix(PRICE_ALERT): msgspec.json.decode(text, type=PriceReached)
        for name, text in kept.items()
        if name.startswith(PRICE_ALERT)
    }


def put_meta(connection: sqlite3.Connection, name: str, value: str) -> None:
    connection.execute(
        "INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET "
        "value = excluded.value WHERE value IS NOT excluded.value",
        (name, value),
    )


def meta(connection: sqlite3.Connection, name: str) -> str | None:
    row = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return None if row is None else str(row[0])
