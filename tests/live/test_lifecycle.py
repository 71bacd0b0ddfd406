"""The end of an engine: everything is closed, whatever refuses on the way."""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import threading
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from engine import log
from engine.clock import WallClock
from engine.config import load
from engine.domain.effects import RaiseAlert
from engine.errors import StorageError
from engine.live import lifecycle, main
from engine.live.accounts import Accounts
from engine.live.lifecycle import close, trade
from engine.live.main import Start, begin, open_engine
from engine.live.venues import Venues
from engine.runtime.recovery import recover
from storage.database import connect_writer, reading
from storage.journal import take_lease
from storage.phases import INIT, LOADING, RECONCILING, RECOVERY, STOPPED, STOPPING, phases
from storage.projection import bring_up_to_date
from storage.schema import migrate
from storage.settings import in_force
from storage.users import ENGINE_ID
from tests.kit.engines import engine_of, part

ORDER = ["shell", "venue", "snapshot", "journal", "projector", "state", "decisions"]
ORDER += ["ticks", "tape"]
PARTS = {"journal": "recorder", "projector": "projector", "state": "state"}
PARTS |= {"decisions": "decisions", "ticks": "ticks", "tape": "taper"}
"""What is closed → the part of an engine it is."""


class Parts:
    """Everything an engine closes; those named in `broken` raise."""

    def __init__(self, broken: dict[str, BaseException]) -> None:
        self.closed: list[str] = []
        self._broken = broken
        engine = engine_of(
            **{named: part(close=self._at_once(what)) for what, named in PARTS.items()}
        )
        engine.runners = {"a": SimpleNamespace(close=self._waits("shell"))}
        engine.venues = {"a": SimpleNamespace(close=self._waits("venue"))}
        engine.snapshot = self._at_once("snapshot")
        self.engine = engine

    def _at_once(self, name: str) -> Any:
        def one() -> None:
            self.closed.append(name)
            if name in self._broken:
                raise self._broken[name]

        return one

    def _waits(self, name: str) -> Any:
        async def one() -> None:
            self._at_once(name)()

        return one

    def close(self, crash: BaseException | None = None) -> None:
        async def run() -> None:
            self.engine.ended = asyncio.get_running_loop().create_future()
            if crash is not None:
                self.engine.ended.set_result(crash)
            await close(self.engine, SimpleNamespace(heartbeat=lambda _: None))  # type: ignore[arg-type]

        asyncio.run(run())


AIDS = ("decisions", "ticks", "tape")


@pytest.mark.parametrize("broken", AIDS)
def test_what_is_kept_beside_trading_makes_no_crash_of_an_end_in_order(broken: str) -> None:
    parts = Parts({broken: KeyError(broken)})
    with capture_logs() as logs:
        parts.close()
    assert parts.closed == ORDER
    assert any(one.get("part") == broken for one in logs)


@pytest.mark.parametrize("broken", [one for one in ORDER if one not in AIDS])
def test_a_close_that_fails_skips_no_other_and_is_raised_after_all(broken: str) -> None:
    error = KeyError(broken)
    parts = Parts({broken: error})
    with pytest.raises(KeyError) as raised:
        parts.close()
    assert raised.value is error
    assert parts.closed == ORDER


def test_of_several_closes_that_fail_the_first_is_raised_and_each_is_logged() -> None:
    first = KeyError("venue")
    parts = Parts({"venue": first, "journal": ValueError("journal"), "state": StorageError("full")})
    with capture_logs() as logged, pytest.raises(KeyError) as raised:
        parts.close()
    assert raised.value is first
    assert parts.closed == ORDER
    told = "\n".join(str(one) for one in logged)
    assert all(word in told for word in ("'venue'", "journal", "full"))


def test_a_disk_that_refuses_at_the_end_is_told_and_is_no_crash() -> None:
    parts = Parts({"state": StorageError("full"), "tape": StorageError("full")})
    with capture_logs() as logged:
        parts.close()
    assert [one["event"] for one in logged] == ["close", "close"]


def test_a_close_that_fails_after_a_crash_does_not_hide_what_ended_the_engine() -> None:
    parts = Parts({"venue": KeyError("venue")})
    parts.close(crash=ValueError("why"))
    assert parts.closed == [one for one in ORDER if one != "snapshot"]


@pytest.mark.parametrize("of_use", ["proven", "nobody can be asked"])
def test_a_stop_ends_with_its_proof_or_where_waiting_proves_nothing(
    monkeypatch: pytest.MonkeyPatch, of_use: str
) -> None:
    monkeypatch.setattr(lifecycle, "STOP_S", None)  # it would wait for ever
    alerts: list[RaiseAlert] = []
    engine: Any = SimpleNamespace(
        clock=WallClock(), log=log.get("engine"), proving=object(), needs_operator=False,
        runners={}, watchers=[], begin_proof=lambda *_, **__: None, enter=lambda *_: None,
        receipt=None, alert=lambda alert, _: alerts.append(alert),
    )  # fmt: skip

    async def run() -> None:
        stopping = asyncio.ensure_future(lifecycle._stop(engine))
        await asyncio.sleep(0)
        (look,) = engine.watchers
        look(1)
        await asyncio.sleep(0)
        assert not stopping.done(), "there may be a proof yet"
        if of_use == "proven":
            engine.proving = None
        else:
            engine.needs_operator = True
        look(2)
        await stopping

    asyncio.run(run())
    unproven = [] if of_use == "proven" else ["stop_unproven"]
    assert [one.kind for one in alerts] == unproven, "open orders may be left: a person is told"


def test_a_thread_that_dies_of_anything_ends_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    config = load({"PITBOSS_HOME": str(tmp_path)})
    migrate(config.state_path)
    error = KeyError("x")

    def die() -> None:
        raise error

    async def run() -> BaseException | None:
        with closing(connect_writer(config.state_path)) as connection:
            settings = in_force(connection, ENGINE_ID)
        accounts = Accounts(Venues(openers={}, markets={}), fence=1)
        engine = open_engine(config, WallClock(), Start(accounts, settings, {}))
        try:
            threading.Thread(target=die, name="journal").start()
            return await asyncio.wait_for(engine.ended, 150)
        finally:
            await close(engine)

    try:
        assert asyncio.run(run()) is error
    finally:
        faulthandler.unregister(signal.SIGUSR1)  # the next one that registers installs it anew


def test_each_phase_is_kept_with_its_time_and_why_also_of_an_end_without_a_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    config = load({"PITBOSS_HOME": str(tmp_path)})
    migrate(config.state_path)

    async def run(error: BaseException | None) -> None:
        with closing(connect_writer(config.state_path)) as connection:
            settings = in_force(connection, ENGINE_ID)
        accounts = Accounts(Venues(openers={}, markets={}), fence=1)
        engine = open_engine(config, WallClock(), Start(accounts, settings, {}))
        try:
            engine.end(error)
            with suppress(KeyError):
                await trade(
                    engine,
                    begin(engine, recover(config.journal_path, {}), kill_only=False),
                    kill_only=False,
                )
        finally:
            await close(engine)

    try:
        for error in (None, KeyError("x"), None):
            asyncio.run(run(error))
    finally:
        faulthandler.unregister(signal.SIGUSR1)  # the next one that registers installs it anew
    with reading(config.state_path) as connection:
        found = phases(connection, ENGINE_ID)[::-1]
    stopped = [INIT, LOADING, RECONCILING, STOPPING, STOPPED]
    crashed = [INIT, LOADING, RECONCILING, RECOVERY]
    assert [one.phase for one in found] == [*stopped, *crashed, *stopped]
    assert found[0].reason == found[5].reason == ""
    assert found[4].reason.startswith("PROVEN: nothing of ours is open at 0 accounts")
    assert found[8].reason == "KeyError: 'x'"
    assert found[9].reason == "the engine before it ended in RECOVERY, without a stop"
    assert {one.pid for one in found} == {os.getpid()}
    assert [one.at_ns for one in found] == sorted(one.at_ns for one in found)


def test_a_start_that_is_refused_is_kept_as_no_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    config = load({"PITBOSS_HOME": str(tmp_path)})
    bring_up_to_date(config.state_path, config.journal_path)
    fence = take_lease(config.journal_path, ENGINE_ID)
    error = StorageError("the journal has accounts that the state has never heard of")

    def refused(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(main, "opened", refused)
    try:
        for _ in range(2):
            with pytest.raises(StorageError) as raised:
                asyncio.run(main._live(config, Venues(openers={}, markets={}), fence, None))
            assert raised.value is error
    finally:
        faulthandler.unregister(signal.SIGUSR1)  # the next one that registers installs it anew
    with reading(config.state_path) as connection:
        found = phases(connection, ENGINE_ID)[::-1]
    assert [one.phase for one in found] == [INIT, LOADING, RECOVERY] * 2
    assert found[2].reason == f"StorageError: {error}"
    assert found[3].reason == "the engine before it ended in RECOVERY, without a stop"
