"""Commands from the command line: every kind by its name, every field checked before it is left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from engine.__main__ import main
from engine.cli.command import _command as command_of
from engine.cli.command import kinds
from engine.domain.commands import (
    ADDED_COMMANDS,
    AnyCommand,
    CancelJob,
    InventoryPolicy,
    Kill,
    PlaceManual,
    ReleaseLatch,
    RunJob,
    StartRecording,
    StopBot,
)
from engine.domain.commands.trading import Flatten
from engine.domain.commands.wallet import AdoptTokens
from engine.domain.instruments import AccountId, BotId, Instrument, InstrumentId, Kind, Leg, Side
from engine.domain.intents import Urgency
from engine.errors import BadInput
from engine.locks import locked
from storage import commands, jobs
from storage.commands import CommandState
from storage.database import transaction, writing
from storage.jobs import JobState
from storage.schema import migrate
from storage.users import ENGINE_ID

BINARY = Instrument(
    id=InstrumentId("demo:coin"), kind=Kind.BINARY, currency="pUSD", price_decimals=4,
    size_decimals=6, tick=100, lot=10_000,
)  # fmt: skip


def catalog(name: str) -> Instrument:
    if name != BINARY.id:
        raise BadInput(f"{name} was never listed here")
    return BINARY


def _command(kind: str, fields: list[str]) -> Any:
    return command_of(kind, fields, catalog)


def test_every_command_has_its_name() -> None:
    assert set(kinds().values()) == set(get_args(AnyCommand))
    assert kinds()["cancel-order-by-hand"].__name__ == "CancelOrderByHand"


def test_fields_become_the_command() -> None:
    made = _command("stop-bot", ["bot=maker", "inventory=exit"])
    assert made == StopBot(bot="maker", inventory=InventoryPolicy.EXIT)  # type: ignore[arg-type]
    assert _command("apply-settings", ["version=3"]).version == 3


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (["bot"], "not field=value"),
        (["bott=maker"], "has no field 'bott'; known: bot"),
        (["bot=maker", "inventory=burn"], "stop-bot: Invalid enum value 'burn'"),
        ([], "stop-bot: Object missing required field `bot`"),
    ],
)
def test_what_is_wrong_is_named(fields: list[str], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        _command("stop-bot", fields)


def test_prices_and_sizes_are_typed_as_the_venue_writes_them() -> None:
    words = ["account=demo", "instrument=demo:coin", "leg=no", "side=sell"]
    words += ["price=0.52", "size=10.5"]
    assert _command("place-manual", [*words, "urgency=cross"]) == PlaceManual(
        account=AccountId("demo"),
        instrument=BINARY.id,
        leg=Leg.NO,
        side=Side.SELL,
        price=5_200,
        size=10_500_000,
        urgency=Urgency.CROSS,
    )
    with pytest.raises(BadInput, match=r"price '0\.52001' is finer"):
        _command("place-manual", [*words, "price=0.52001"])
    with pytest.raises(BadInput, match="demo:dice was never listed"):
        _command("place-manual", [*words, "instrument=demo:dice"])
    with pytest.raises(BadInput, match="missing required field `leg`"):
        _command("place-manual", [word for word in words if not word.startswith("leg")])
    flat = ["account=demo", "instrument=demo:coin", "slippage_max=0.02"]
    assert _command("flatten", flat) == Flatten(
        account=AccountId("demo"), instrument=BINARY.id, slippage_max=200
    )


def test_what_tokens_cost_is_typed_in_the_currency() -> None:
    words = ["account=real", "instrument=polymarket:0xab", "leg=no"]
    taken = AdoptTokens(
        account=AccountId("real"), instrument=InstrumentId("polymarket:0xab"), leg=Leg.NO,
        cost=12_345_678,
    )  # fmt: skip
    assert _command("adopt-tokens", [*words, "cost=12.345678"]) == taken
    assert _command("adopt-tokens", words) == msgspec.structs.replace(taken, cost=None)
    for typed in ("1.0000001", "much", "inf"):
        with pytest.raises(BadInput, match="not an amount"):
            _command("adopt-tokens", [*words, f"cost={typed}"])


def test_kill_and_its_release_name_a_part_or_nothing() -> None:
    assert _command("kill", []) == Kill()
    assert _command("kill", ["bot=maker"]) == Kill(bot=BotId("maker"))
    released = _command("release-latch", ["reason=seen it", "instrument=demo:coin"])
    assert released == ReleaseLatch(reason="seen it", instrument=BINARY.id)


def test_instruments_of_a_recording_stand_behind_commas() -> None:
    made = _command("start-recording", ["name=day", "instruments=btc-updown-5m, demo:coin"])
    assert made == StartRecording(
        name="day", instruments=(InstrumentId("btc-updown-5m"), InstrumentId("demo:coin"))
    )


def test_a_job_without_arguments_is_asked_for_by_its_name() -> None:
    assert _command("run-job", ["job=backup"]) == RunJob(job="backup", arguments="{}")
    assert _command("cancel-job", ["job=7"]) == CancelJob(job=7)


def test_every_kind_is_told_in_the_documentation() -> None:
    text = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
    ours = [name for name, kind in kinds().items() if kind not in ADDED_COMMANDS]
    assert [kind for kind in ours if f"`{kind}`" not in text] == []


class Answering(threading.Thread):
    """What an engine and a worker do with the first job that is asked for, on a thread."""

    def __init__(self, state: Path, ends: dict[str, Any]) -> None:
        super().__init__(daemon=True)
        self._state = state
        self._ends = ends
        """How the job ends; empty = it does not."""

    def run(self) -> None:
        with writing(self._state) as connection:
            (left,) = until(lambda: commands.claim(connection, ENGINE_ID, 1))
            number = jobs.queue(
                connection, engine_id=ENGINE_ID, kind="backup", arguments="{}", who="test", now_ns=2
            )
            said = f"{jobs.QUEUED}{number}"
            done = CommandState.DONE
            with transaction(connection):
                commands.answer(connection, ENGINE_ID, left.id, state=done, text=said, now_ns=3)
            job = jobs.claim(connection, ENGINE_ID, 4)
            if job is not None and self._ends:
                jobs.finish(connection, ENGINE_ID, job, now_ns=5, **self._ends)


def until(found: Callable[[], Any]) -> Any:
    """Return the first answer that is one."""
    for _ in range(500):
        if got := found():
            return got
        time.sleep(0.01)
    raise AssertionError("it did not come")


DONE = {"state": JobState.DONE, "result": '{"file": "a"}'}
FAILED = {"state": JobState.FAILED, "error": "the disk is full"}


@pytest.mark.parametrize(
    ("words", "ends", "code", "job"),
    [
        (["--wait", "5"], DONE, 0, ['job 1 done: {"file": "a"}']),
        (["--wait", "5"], FAILED, 1, ["job 1 failed: the disk is full"]),
        (["--wait", "0.4"], {}, 1, ["job 1 is running, and goes on: see page Jobs"]),
        ([], {}, 0, []),
    ],
)
def test_a_wait_for_a_job_lasts_until_it_has_ended(
    words: list[str],
    ends: dict[str, Any],
    code: int,
    job: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PITBOSS_HOME", str(tmp_path))
    migrate(tmp_path / "pitboss.db")
    with locked(tmp_path / "run/engine.lock", "engine"):
        answering = Answering(tmp_path / "pitboss.db", ends)
        answering.start()
        assert main(["command", "run-job", "job=backup", *words]) == code
        answering.join()
    first, *then = capsys.readouterr().out.splitlines()
    assert (first.startswith("done after "), first.endswith(": queued as job 1")) == (True, True)
    assert then == job
