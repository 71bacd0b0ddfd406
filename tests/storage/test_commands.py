from __future__ import annotations

import json
from sqlite3 import Connection

import pytest

from engine.domain.commands import (
    AckAlert,
    AnyCommand,
    ApplySettings,
    CancelJob,
    InventoryPolicy,
    Kill,
    PlaceManual,
    ReleaseLatch,
    StartBot,
    StartRecording,
    StopBot,
)
from engine.domain.effects import RaiseAlert, Severity
from engine.domain.instruments import AccountId, BotId, InstrumentId, Leg, Side
from engine.errors import BadInput, BrokenInvariant
from storage import commands
from storage.alerts import raise_alert
from storage.commands import CommandState, LeftCommand
from storage.database import note

START = StartBot(bot=BotId("maker"))


def leave(
    connection: Connection, number: int, command: AnyCommand = START, now_ns: int = 100
) -> LeftCommand:
    return commands.leave(
        connection,
        engine_id="e1",
        id=f"c{number}",
        command=command,
        who="ann",
        now_ns=now_ns,
        ttl_ns=1_000,
    )


def answer(connection: Connection, number: int, state: CommandState, text: str = "") -> None:
    commands.answer(connection, "e1", f"c{number}", state=state, text=text, now_ns=300)


@pytest.mark.parametrize(
    "command",
    [
        START,
        StopBot(bot=BotId("maker"), inventory=InventoryPolicy.EXIT),
        Kill(),
        StartRecording(name="day", instruments=(InstrumentId("a"), InstrumentId("b"))),
        ReleaseLatch(reason="checked by hand: Ωk"),
    ],
)
def test_a_command_comes_back_as_it_was_left(connection: Connection, command: AnyCommand) -> None:
    left = leave(connection, 1, command)
    assert left.command == command
    assert left.state is CommandState.PENDING
    assert commands.claim(connection, "e1", 200)[0].command == command


def test_a_command_lives_from_pending_to_done(connection: Connection) -> None:
    leave(connection, 1)
    (claimed,) = commands.claim(connection, "e1", 200)
    assert (claimed.state, claimed.claimed_ns) == (CommandState.CLAIMED, 200)
    answer(connection, 1, CommandState.DONE, "running")
    done = commands.find(connection, "e1", "c1")
    assert done is not None
    assert (done.state, done.answer, done.answered_ns) == (CommandState.DONE, "running", 300)
    assert commands.cut(connection, "e1", "cut", 400) == 0


def test_claiming_twice_gives_nothing_twice(connection: Connection) -> None:
    for number in (3, 1, 2):
        leave(connection, number)
    assert [left.id for left in commands.claim(connection, "e1", 200)] == ["c1", "c2", "c3"]
    assert commands.claim(connection, "e1", 200) == []
    assert connection.execute("SELECT count(*) FROM commands").fetchone()[0] == 3


def test_a_command_of_another_engine_is_not_claimed(connection: Connection) -> None:
    leave(connection, 1)
    assert commands.claim(connection, "e2", 200) == []
    assert commands.find(connection, "e2", "c1") is None


def test_a_command_that_is_too_old_is_refused_not_executed(connection: Connection) -> None:
    leave(connection, 1, now_ns=100)
    leave(connection, 2, now_ns=500)
    assert [left.id for left in commands.claim(connection, "e1", 1_100)] == ["c2"]
    refused = commands.find(connection, "e1", "c1")
    assert refused is not None
    assert refused.state is CommandState.REFUSED
    assert refused.answer.startswith("too late")


def test_leaving_the_same_twice_is_one_command(connection: Connection) -> None:
    leave(connection, 1)
    commands.claim(connection, "e1", 200)
    again = leave(connection, 1, now_ns=250)
    assert (again.state, again.created_ns) == (CommandState.CLAIMED, 100)
    assert commands.claim(connection, "e1", 300) == []
    assert connection.execute("SELECT count(*) FROM audit").fetchone()[0] == 1
    with pytest.raises(BadInput, match="already belongs to another command"):
        leave(connection, 1, Kill())


def test_answering_twice_the_same_is_harmless_otherwise_not(connection: Connection) -> None:
    leave(connection, 1)
    with pytest.raises(BadInput, match="c1 is already pending"):
        answer(connection, 1, CommandState.DONE)
    commands.claim(connection, "e1", 200)
    answer(connection, 1, CommandState.FAILED, "no such bot")
    answer(connection, 1, CommandState.FAILED, "no such bot")
    with pytest.raises(BadInput, match="already failed, it cannot become done"):
        answer(connection, 1, CommandState.DONE)
    with pytest.raises(BadInput, match="c9 is unknown"):
        answer(connection, 9, CommandState.DONE)
    with pytest.raises(BrokenInvariant, match="cannot be answered with pending"):
        answer(connection, 1, CommandState.PENDING)


def test_a_command_leaves_an_audit_row(connection: Connection) -> None:
    leave(connection, 1, Kill(bot=BotId("maker")))
    row = connection.execute("SELECT engine_id, at_ns, who, what, detail FROM audit").fetchone()
    assert row[:4] == ("e1", 100, "ann", "command Kill")
    assert json.loads(row[4])["command"]["bot"] == "maker"


def test_audit_belongs_to_a_transaction(connection: Connection) -> None:
    with pytest.raises(BrokenInvariant, match="belongs to the transaction"):
        note(connection, "e1", 0, "ann", "x")


@pytest.mark.parametrize(
    "command",
    [
        ApplySettings(version=2**63),
        AckAlert(alert=2**63),
        CancelJob(job=-(2**63) - 1),
        PlaceManual(
            account=AccountId("demo"),
            instrument=InstrumentId("venue:m1"),
            leg=Leg.YES,
            side=Side.BUY,
            price=100,
            size=10**30,
        ),
    ],
)
def test_a_number_that_nothing_can_hold_is_refused_where_it_is_left(
    connection: Connection, command: AnyCommand
) -> None:
    with pytest.raises(BadInput, match="cannot be queued"):
        leave(connection, 1, command)
    assert connection.execute("SELECT count(*) FROM commands").fetchone()[0] == 0


DAMAGES = {
    "an unknown kind": ("body", '\'{"type": "Fly"}\''),
    "garbage": ("body", "'garbage'"),
    "nested too deep": ("body", f"'{'[' * 100_000}'"),
    "a body of bytes": ("body", "CAST(body AS BLOB)"),
    "a body that is no text": ("body", "CAST(x'7bff7d' AS TEXT)"),
    "an id that is no text": ("id", "CAST(x'ff61' AS TEXT)"),
    "an id of bytes": ("id", "x'6131'"),
    "a name that is no text": ("who", "CAST(x'61ff' AS TEXT)"),
    "an id of a million letters": ("id", "printf('%.*c', 1000000, 'x')"),
    "a name of a million letters": ("who", "printf('%.*c', 1000000, 'x')"),
    "a time of words": ("created_ns", "'yesterday'"),
    "an end of words": ("expires_ns", "'tomorrow'"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_command_is_refused_once_with_an_alert_and_holds_up_no_other(
    connection: Connection, name: str
) -> None:
    column, value = DAMAGES[name]
    leave(connection, 1)
    leave(connection, 2, Kill())
    connection.execute(f"UPDATE commands SET {column} = {value} WHERE id = 'c1'")
    claimed = commands.claim(connection, "e1", 200)
    assert [left.id for left in claimed] == ["c2"]
    sql = "SELECT state, answer FROM commands WHERE id IS NOT 'c2'"
    ((state, text),) = connection.execute(sql).fetchall()
    assert state == CommandState.REFUSED
    assert text.startswith("it cannot be read")
    alerts = "SELECT kind, count FROM alerts"
    assert connection.execute(alerts).fetchall() == [("bad_row", 1)]
    assert commands.claim(connection, "e1", 300) == []
    assert connection.execute(alerts).fetchall() == [("bad_row", 1)]


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_command_that_was_claimed_keeps_no_engine_from_its_start(
    connection: Connection, name: str
) -> None:
    column, value = DAMAGES[name]
    leave(connection, 1)
    leave(connection, 2, Kill())
    commands.claim(connection, "e1", 200)
    connection.execute(f"UPDATE commands SET {column} = {value} WHERE id = 'c1'")
    assert commands.cut(connection, "e1", "the engine ended", 300) == 2
    rows = connection.execute("SELECT state, answer FROM commands").fetchall()
    assert rows == [(CommandState.FAILED, "the engine ended")] * 2


def test_a_damaged_alert_keeps_no_other_from_being_told(connection: Connection) -> None:
    alert = RaiseAlert(severity=Severity.WARNING, kind="k", text="first", bot=BotId("b"))
    raise_alert(connection, "e1", alert, None, 1)
    connection.execute("UPDATE alerts SET text = x'ff00', count = 'many', last_ns = 'late'")
    again = RaiseAlert(severity=Severity.WARNING, kind="k", text="second", bot=BotId("b"))
    raise_alert(connection, "e1", again, None, 2)
    assert connection.execute("SELECT text FROM alerts").fetchall() == [(b"\xff\x00",), ("second",)]


def test_a_thousand_damaged_commands_hold_up_no_kill(connection: Connection) -> None:
    for number in range(1_000):
        leave(connection, number)
    connection.execute("UPDATE commands SET body = 'garbage'")
    leave(connection, 1_000, Kill())
    found: list[LeftCommand] = []
    while commands.pending(connection, "e1"):
        found += commands.claim(connection, "e1", 200)
    assert [left.id for left in found] == ["c1000"]
    rows, seen = connection.execute("SELECT count(*), sum(count) FROM alerts").fetchone()
    assert (rows, seen) == (25, commands.CLAIM_MAX - 1), "the KILL overtook all the others"


def test_a_kill_overtakes_a_flood_and_what_it_overtakes_arms_nothing(
    connection: Connection,
) -> None:
    for number in range(300):
        leave(connection, number, now_ns=number)
    leave(connection, 300, StopBot(bot=BotId("maker")), now_ns=300)
    leave(connection, 301, Kill(), now_ns=301)
    leave(connection, 302, now_ns=302)
    first = commands.claim(connection, "e1", 310)
    assert len(first) == commands.CLAIM_MAX
    assert first[-1].command == Kill()
    later = commands.claim(connection, "e1", 311)
    assert [one.id for one in later] == ["c300", "c302"]
    refused = connection.execute(
        "SELECT count(*) FROM commands WHERE answer = ?", (commands.OVERTAKEN,)
    )
    assert refused.fetchone() == (300 - commands.CLAIM_MAX + 1,)


def test_a_few_commands_before_a_kill_are_done_before_it(connection: Connection) -> None:
    leave(connection, 1, now_ns=1)
    leave(connection, 2, Kill(), now_ns=2)
    claimed = commands.claim(connection, "e1", 3)
    assert [one.command for one in claimed] == [START, Kill()]
