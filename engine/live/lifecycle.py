"""The life of an engine once it is wired: trade, prove that nothing is left, close."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine

from engine.domain.effects import CancelScope
from engine.domain.instruments import AccountId
from engine.errors import LeaseLost, StorageError
from engine.live.engine import Engine
from engine.live.telemetry import Telemetry
from engine.runtime.services import Stream
from storage.live import STOP_PROOF, put_engine

TICK_S = 0.02
STOP_S = 25.0
"""How long a stop waits for its proof; the supervisor waits longer. Where nobody can be asked
before a person acts, it does not wait."""

Streams = list[Stream]


async def trade(
    engine: Engine,
    streams: Streams,
    *,
    kill_only: bool,
    teller: Telemetry | None = None,
    tick_s: float = TICK_S,
) -> None:
    """Run everything until it ends; then prove that nothing is left. Raises what ended it."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, engine.end)
    told = teller or Telemetry(engine)
    told.follow(engine.clock.now_ns())
    for stream in (*streams, lambda: _beat(engine, told, tick_s)):
        engine.spawn(stream)
    if kill_only:
        engine.tell_receipt(lambda _: engine.end())
        engine.watchers.append(lambda _: _all_there_is(engine))
    error = await engine.ended
    try:
        if error is not None:
            if not isinstance(error, LeaseLost):  # then what rests there is the new one's
                await _crash(engine)
            raise error
        if not kill_only:
            await _stop(engine)
    finally:
        for task in engine.tasks:
            task.cancel()
        await asyncio.gather(*engine.tasks, return_exceptions=True)


def _all_there_is(engine: Engine) -> None:
    """End a KILL that has proven every account it opened, where nobody here can ask the others."""
    receipt = engine.receipt
    if engine.vain and receipt:
        lacking = {AccountId(one.account) for one in receipt.accounts if one.missing}
        if not lacking & engine.runners.keys():
            engine.end()


async def _beat(engine: Engine, teller: Telemetry, tick_s: float) -> None:
    """Let the engine look at the clock, and tell each second of the wall how it is."""
    loop = asyncio.get_running_loop()
    second_s = 0
    try:
        while True:
            due = loop.time() + tick_s
            await asyncio.sleep(tick_s)
            now_ns = engine.clock.now_ns()
            engine.tick(now_ns)
            if due >= second_s:
                second_s = int(due) + 1
                if engine.watch is not None:
                    engine.watch.lives()
                engine.second(now_ns)
                teller.second(now_ns)
    finally:
        if engine.watch is not None:
            engine.watch.ends()


async def _stop(engine: Engine) -> None:
    """Cancel everything, wait for the proof as long as there can be one, keep what is proven."""
    now_ns = engine.clock.now_ns()
    engine.phase = "STOPPING"
    engine.begin_proof(
        f"stop-{now_ns}", who="engine", reason="engine stops", at_ns=now_ns, what=STOP_PROOF
    )
    for runner in engine.runners.values():
        runner.halt("the engine stops", now_ns)
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def look(_: int) -> None:
        if not over.done() and (engine.proving is None or engine.vain):
            over.set_result(None)

    engine.watchers.append(look)
    await asyncio.wait({over}, timeout=STOP_S)
    engine.log.info("stopped", proven=engine.proving is None)


async def _crash(engine: Engine) -> None:
    """Cancel everything at every venue, without a turn of any core: our code may be wrong."""
    engine.phase = "RECOVERY"
    calls = [venue.cancel_all(CancelScope()) for venue in engine.venues.values()]
    if calls:
        done, late = await asyncio.wait([asyncio.ensure_future(c) for c in calls], timeout=2.0)
        for task in late:
            task.cancel()
        for task in done:
            engine.log.warning("crash.cancel_all", refused=str(task.exception() or ""))


async def close(engine: Engine, teller: Telemetry | None = None) -> None:
    """Close everything in the order of the flow, each whatever became of those before.

    A disk that refuses is told. Raises the first other error when all is closed.
    """
    errors: list[BaseException] = []

    def tried(part: str, do: Callable[[], object]) -> None:
        try:
            do()
        except Exception as error:  # noqa: BLE001 the journal must be closed after it
            _refused(engine, part, error, errors)

    for account, runner in engine.runners.items():
        await _closed(engine, account, runner.close(), errors)
    for account, venue in engine.venues.items():
        await _closed(engine, account, venue.close(), errors)
    crashed = engine.ended.done() and engine.ended.result() is not None
    if not crashed:
        tried("snapshot", engine.snapshot)
        engine.phase = "STOPPED"
        tried("beat", lambda: _last_beat(engine, teller or Telemetry(engine)))
    tried("journal", engine.recorder.close)
    tried("projector", engine.projector.close)
    tried("state", engine.state.close)
    tried("decisions", engine.decisions.close)
    if engine.ticks is not None:
        tried("ticks", engine.ticks.close)
    tried("tape", engine.closed)
    if errors and not crashed:  # what ended the engine is the first of all, and is raised already
        raise errors[0]


async def _closed(
    engine: Engine, account: str, closing: Coroutine[None, None, None], errors: list[BaseException]
) -> None:
    try:
        await closing
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 the same
        _refused(engine, account, error, errors)


def _refused(engine: Engine, part: str, error: BaseException, errors: list[BaseException]) -> None:
    if isinstance(error, StorageError):
        engine.log.warning("close", part=part, refused=str(error))
        return
    engine.log.error("close", part=part, refused=repr(error), exc_info=error)
    errors.append(error)


def _last_beat(engine: Engine, teller: Telemetry) -> None:
    beat = teller.beat(engine.clock.now_ns())
    engine.state.put("engine", lambda c: put_engine(c, engine.engine_id, beat))
