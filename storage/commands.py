"""Commands: left by pages and the command line, claimed and answered by the engine, never deleted.

pending → claimed → done | refused | failed. Leaving twice, claiming twice and answering twice with
the same words are harmless; a command older than its time to live is refused, never executed late.
"""

from __future__ import annotations

from contextlib import suppress
from enum import StrEnum
from sqlite3 import Connection
from typing import Any

import msgspec

from engine.domain.commands import AckAlert, AnyCommand
from engine.domain.effects import caution
from engine.domain.instruments import Mode
from engine.domain.orders import OrderReport
from engine.errors import BadInput, BrokenInvariant
from storage.alerts import raise_alert
from storage.database import Table, insert, note, transaction, update

TTL_NS = 30 * 1_000_000_000
"""How long a command may wait to be claimed, unless its author says otherwise."""

LASTING_NS = 365 * 86_400 * 1_000_000_000
"""The same of `LASTING`: what it says stays true however long no engine runs."""

CLAIM_MAX = 100
"""Most commands of one claim."""

ID_LENGTH_TOLD = 100
NAME_BYTES_MAX = 1_000
"""Longest id, and longest name of who left a command: the loop logs both, a second per million."""


class CommandState(StrEnum):
    """Where a command stands."""

    PENDING = "pending"
    CLAIMED = "claimed"
    DONE = "done"
    REFUSED = "refused"
    """Understood, and not executed: the answer says why."""
    FAILED = "failed"
    """Tried, and it did not work: the answer says what happened."""


ENDS = frozenset({CommandState.DONE, CommandState.REFUSED, CommandState.FAILED})


class LeftCommand(msgspec.Struct, frozen=True, kw_only=True):
    """A command with its life so far. Times in ns UTC, None = has not happened."""

    id: str
    command: AnyCommand = msgspec.field(name="body")
    who: str
    state: CommandState
    created_ns: int
    expires_ns: int
    claimed_ns: int | None
    answered_ns: int | None
    answer: str


_COMMANDS = Table(LeftCommand, "commands")
_CLAIM = (
    "UPDATE commands SET state = ?, claimed_ns = ? WHERE rowid IN ("  # noqa: S608 our own columns
    "SELECT rowid FROM commands WHERE engine_id = ? AND state = ? "
    f"AND (kind = ? OR ?) ORDER BY created_ns, id LIMIT ?) RETURNING {_COMMANDS.columns}, rowid, "
    "CAST(id AS BLOB), CAST(body AS BLOB), CAST(who AS BLOB)"
)
LASTING = (AckAlert,)
"""Commands that wait for an engine for as long as it takes; readers count them before
(`storage.seen`)."""

KILL_KIND = "Kill"
SAFE_KINDS = (KILL_KIND, "PauseBot", "StopBot", "CancelOrderByHand")
"""Commands that only make safe; they are not refused by a KILL that overtakes them."""

OVERTAKEN = "a KILL was left after it, before this was done; send it again if still wanted"
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(AnyCommand).decode


def leave(
    connection: Connection,
    *,
    engine_id: str,
    id: str,  # noqa: A002 it is the id of the row and of the receipt
    command: AnyCommand,
    who: str,
    now_ns: int,
    ttl_ns: int | None = None,
) -> LeftCommand:
    """Leave a command under an id the author made; leaving the same again changes nothing.

    Raises BadInput where the id already belongs to another command, or the engine could not read
    this one.
    """
    body = _encode(command).decode()
    try:
        _decode(body)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"this {type(command).__name__} cannot be queued: {error}") from None
    kind = type(command).__name__
    if ttl_ns is None:
        ttl_ns = LASTING_NS if isinstance(command, LASTING) else TTL_NS
    with transaction(connection):
        made = insert(
            connection,
            "commands",
            ends=" ON CONFLICT (id) DO NOTHING",
            id=id,
            engine_id=engine_id,
            kind=kind,
            body=body,
            who=who,
            state=CommandState.PENDING,
            created_ns=now_ns,
            expires_ns=now_ns + ttl_ns,
            answer="",
        )
        if made.rowcount == 1:
            raw = msgspec.Raw(body.encode())
            note(connection, engine_id, now_ns, who, f"command {kind}", id=id, command=raw)
    left = find(connection, engine_id, id)
    if left is None or left.command != command or left.who != who:
        raise BadInput(f"the command id {id!r} already belongs to another command; make a new one")
    return left


def find(connection: Connection, engine_id: str, command_id: str) -> LeftCommand | None:
    """Return a command by its id, None where none was left. Raises BadInput for a damaged row."""
    return _COMMANDS.one(connection, "id = ? AND engine_id = ?", (command_id, engine_id))


def claim(connection: Connection, engine_id: str, now_ns: int) -> list[LeftCommand]:
    """Take what is pending, oldest first, up to `CLAIM_MAX`. A second claim gets none of it.

    A KILL is claimed before everything else; what still waits then and was left before it is
    refused, where it does not only make safe: it must not undo the KILL afterwards. What is too old
    is refused; so is, with an alert, what cannot be read. Execute each and `answer` it. After a
    crash, `cut` before claiming.
    """
    if not pending(connection, engine_id):
        return []
    with transaction(connection):
        connection.execute(
            "UPDATE commands SET state = ?, answered_ns = ?, answer = ? "
            "WHERE engine_id = ? AND state = ? AND expires_ns <= ?",
            (
                CommandState.REFUSED,
                now_ns,
                "too late: not claimed within its time to live; send it again if still wanted",
                engine_id,
                CommandState.PENDING,
                now_ns,
            ),
        )
        rows: list[tuple[Any, ...]] = []
        kills = 0
        for every in (False, True):  # also one whose kind is no text: it is refused by its id
            most = CLAIM_MAX - len(rows)
            waiting = (CommandState.CLAIMED, now_ns, engine_id, CommandState.PENDING)
            rows += connection.execute(_CLAIM, (*waiting, KILL_KIND, every, most)).fetchall()
            if not every:
                kills = len(rows)
        if kills and len(rows) == CLAIM_MAX:
            _refuse_overtaken(connection, engine_id, now_ns)
        claimed = _readable(connection, engine_id, rows, now_ns)
    return sorted(claimed, key=lambda left: (left.created_ns, left.id))


def _refuse_overtaken(connection: Connection, engine_id: str, now_ns: int) -> None:
    """Refuse what waits behind a full claim with a KILL in it and was left before that."""
    marks = ", ".join("?" * len(SAFE_KINDS))
    connection.execute(
        "UPDATE commands SET state = ?1, answered_ns = ?2, answer = ?3 WHERE engine_id = ?4 "  # noqa: S608 our own words
        "AND state = ?5 AND created_ns <= (SELECT max(created_ns) FROM commands WHERE "
        "engine_id = ?4 AND state = ?6 AND claimed_ns = ?2 AND kind = ?7) "
        f"AND kind NOT IN ({marks})",
        (
            CommandState.REFUSED,
            now_ns,
            OVERTAKEN,
            engine_id,
            CommandState.PENDING,
            CommandState.CLAIMED,
            KILL_KIND,
            *SAFE_KINDS,
        ),
    )


def _readable(
    connection: Connection, engine_id: str, rows: list[tuple[Any, ...]], now_ns: int
) -> list[LeftCommand]:
    """Refuse what cannot be read: it must not hold up a KILL that was left after it."""
    found: list[LeftCommand] = []
    for *row, number, name, body, who in rows:
        try:
            _must_be_sound(row[:3], [name, body, who])
            found.append(_COMMANDS.read(row))
        except BadInput as error:
            refused = {"state": CommandState.REFUSED, "answered_ns": now_ns, "answer": str(error)}
            update(connection, "commands", {"rowid": number}, **refused)
            text = f"a command queued as {str(row[0])[:ID_LENGTH_TOLD]!r} is refused: {error}"
            raise_alert(connection, engine_id, caution("bad_row", text), None, now_ns)
    return found


def _must_be_sound(texts: list[object], cells: list[bytes]) -> None:
    """Raise BadInput where texts are not what their cells hold, but what was legible of it."""
    if [str(text).encode() for text in texts] != cells:
        raise BadInput("it cannot be read: its text is damaged")
    if max(len(cells[0]), len(cells[2])) > NAME_BYTES_MAX:
        raise BadInput(f"it cannot be read: its id or author is longer than {NAME_BYTES_MAX} bytes")


def pending(connection: Connection, engine_id: str) -> bool:
    """Say whether a command waits, without taking the write lock: most looks find nothing."""
    return (
        connection.execute(
            "SELECT 1 FROM commands WHERE engine_id = ? AND state = ? LIMIT 1",
            (engine_id, CommandState.PENDING),
        ).fetchone()
        is not None
    )


def cut(connection: Connection, engine_id: str, text: str, now_ns: int) -> int:
    """Fail what was claimed and never answered: the engine ended in between. Give how many.

    No row is read: one that is damaged must not keep an engine from its start.
    """
    cut_off = {"engine_id": engine_id, "state": CommandState.CLAIMED}
    failed = {"state": CommandState.FAILED, "answered_ns": now_ns, "answer": text}
    with transaction(connection):
        return update(connection, "commands", cut_off, **failed)


def answer(
    connection: Connection,
    engine_id: str,
    command_id: str,
    *,
    state: CommandState,
    text: str,
    now_ns: int,
) -> None:
    """Answer a claimed command in the caller's transaction. The same answer again is harmless.

    Raises BadInput for a command that is not claimed any more, or was answered otherwise: somebody
    changed its row; BrokenInvariant where `state` is no end.
    """
    if state not in ENDS:
        raise BrokenInvariant(f"command {command_id} cannot be answered with {state}")
    claimed = {"id": command_id, "engine_id": engine_id, "state": CommandState.CLAIMED}
    if update(connection, "commands", claimed, state=state, answered_ns=now_ns, answer=text):
        return
    left = find(connection, engine_id, command_id)
    if left is None or left.state is not state or left.answer != text:
        state_now = "unknown" if left is None else f"already {left.state}"
        raise BadInput(f"command {command_id} is {state_now}, it cannot become {state}: {text}")


# -- Receipts: what a KILL and a stop are answered with ---------------------

KILL_PROOF = "kill receipt"
STOP_PROOF = "stop receipt"
SCOPE_PROOF = "scoped kill receipt"


class AccountProof(msgspec.Struct, frozen=True, kw_only=True):
    """What is proven of one account after everything was cancelled."""

    account: str
    mode: Mode
    open_at_latch: int
    """Orders that might still fill when the latch was set."""
    cancelled: int
    not_cancelled: tuple[tuple[int, str], ...]
    """(order, the venue's words) of every cancel the venue refused."""
    in_flight_waited_ms: float
    """How long a place that was on its way was waited for."""
    listings: int
    """Complete listings of open orders, in a row, that held none of ours."""
    unknown: int
    live: int
    inventory: tuple[tuple[str, int, int], ...] | None
    """(instrument, YES, NO) that remains, in the instrument's increments; None = not known."""
    foreign: tuple[OrderReport, ...]
    missing: tuple[str, ...]
    """What is not proven yet, in words; empty = PROVEN."""


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """The receipt of a KILL or of a stop. `proven` False = the engine keeps trying."""

    id: str
    """Of the latch or the stop it belongs to; a later receipt of the same id replaces it."""
    who: str
    reason: str
    latched_ns: int
    first_cancel_ns: int | None
    reported_ns: int
    proven: bool
    accounts: tuple[AccountProof, ...]
    missing: tuple[str, ...] = ()
    scope: str = ""
    """What a scoped KILL covered, in words; empty = everything."""

    def sentence(self) -> str:
        cancelled = sum(account.cancelled for account in self.accounts)
        refused = sum(len(account.not_cancelled) for account in self.accounts)
        known = [one.inventory for one in self.accounts if one.inventory is not None]
        held = many(sum(map(len, known)), "instrument")
        left = "not known" if len(known) < len(self.accounts) else f"left in {held}"
        outcome = f"{many(cancelled, 'order')} cancelled, {refused} not cancelled, inventory {left}"
        if self.proven:
            whose = self.scope or "ours"
            where = many(len(self.accounts), "account")
            return f"PROVEN: nothing of {whose} is open at {where}; {outcome}"
        lacking = [*self.missing]
        lacking += [f"{one.account}: {why}" for one in self.accounts for why in one.missing]
        return f"NOT PROVEN: {'; '.join(lacking)}; {outcome}"


def many(number: int, one: str) -> str:
    """Return a number with its noun: 1 order, 2 orders."""
    return f"{number:,} {one}{'' if number == 1 else 's'}"


def keep_receipt(connection: Connection, engine_id: str, what: str, receipt: Receipt) -> None:
    """Add a receipt to the audit, where nothing is changed or deleted: the latest counts."""
    detail = msgspec.to_builtins(receipt)
    note(connection, engine_id, receipt.reported_ns, receipt.who, what, **detail)


def latest_receipt(
    connection: Connection, engine_id: str, what: str = KILL_PROOF
) -> Receipt | None:
    """Return the latest receipt of a KILL or of a stop, None where there was none.

    A row that cannot be read hides none before it.
    """
    rows = connection.execute(
        "SELECT detail FROM audit WHERE engine_id = ? AND what = ? ORDER BY id DESC",
        (engine_id, what),
    )
    for (detail,) in rows:
        with suppress(ValueError, TypeError, RecursionError):
            return msgspec.json.decode(detail, type=Receipt)
    return None


# -- What a command leaves standing until another one takes it away --------------------------------


class MarkKind(StrEnum):
    """What a person wants to stand, whichever engine runs."""

    FOLLOWED = "followed"
    """The account receives this market, though no bot and no order needs it."""
    IGNORED = "ignored"
    """This order, or these tokens, of others in the wallet are known and left alone."""


class StandingMark(msgspec.Struct, frozen=True, kw_only=True):
    """One of them; the fields are the table's."""

    account: str
    kind: MarkKind
    subject: str
    """A market's id, an order's identity, or a market's id and a leg."""
    who: str
    at_ns: int


_MARKS = Table(StandingMark, "marks")


def mark(connection: Connection, engine_id: str, given: StandingMark, *, on: bool) -> None:
    """Set a mark, or take it away; twice is harmless."""
    if on:
        _MARKS.put(connection, engine_id, [given])
        return
    connection.execute(
        "DELETE FROM marks WHERE engine_id = ? AND account = ? AND kind = ? AND subject = ?",
        (engine_id, given.account, given.kind, given.subject),
    )


def forget_resolved(connection: Connection, engine_id: str) -> None:
    """Take the marks away of followed markets that are resolved: nothing is heard of them."""
    connection.execute(
        "DELETE FROM marks WHERE engine_id = ? AND kind = ? AND subject IN (SELECT instrument "
        "FROM listings l WHERE l.engine_id = marks.engine_id AND l.payout_yes_micro IS NOT NULL)",
        (engine_id, MarkKind.FOLLOWED),
    )


def marks(connection: Connection, engine_id: str, kind: MarkKind) -> list[StandingMark]:
    """Return all marks of a kind, the oldest first."""
    return _MARKS.all(
        connection, "engine_id = ? AND kind = ? ORDER BY at_ns, subject", (engine_id, kind)
    )
