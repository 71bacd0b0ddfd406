"""How far things go: how many modules of the product one flow runs through, from end to end.

A module counts when a function of it ran while `Distance.counted` was open, on any thread that
began under it. A feature of the flow itself may cost a module; a detour may not.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Self

from engine.domain.commands import ApplySettings, Kill
from engine.domain.events import (
    BookChanged,
    InstrumentListed,
)
from engine.domain.instruments import Side
from engine.live.commands.kill import ScopedKills
from engine.live.telemetry import ROWS_EVERY, Telemetry
from storage.commands import ENDS, CommandState
from storage.database import reading
from storage.live import books
from storage.users import ENGINE_ID
from tests.live.desk import PATIENCE_S, LiveDesk
from tests.live.trading_desk import BOOK, DEMO, ONE, Exchange, TradingDesk

RATCHET = {"an order": 41, "a KILL": 26, "a settings edit": 17, "a price to its row": 20}
"""Modules a flow may run through, by its name."""

REPOSITORY = Path(__file__).resolve().parents[1]
PRODUCT = tuple(f"{REPOSITORY / name}/" for name in ("engine", "storage", "pages"))


class Distance:
    """Counts modules. Use it as `with`, before the threads that a flow runs on begin."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._counts = False

    def __enter__(self) -> Self:
        threading.setprofile(self._called)
        sys.setprofile(self._called)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)

    def _called(self, frame: FrameType, event: str, _argument: object) -> None:
        # A function's code is optimised; that of a module or a class is not: importing is no step.
        if self._counts and event == "call" and frame.f_code.co_flags & inspect.CO_OPTIMIZED:
            self._files.add(frame.f_code.co_filename)

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count what runs until this ends."""
        self._counts = True
        try:
            yield
        finally:
            self._counts = False

    @property
    def modules(self) -> list[str]:
        """The product's modules that ran."""
        return sorted(
            str(Path(file).relative_to(REPOSITORY)) for file in self._files if _of_product(file)
        )

    def must_be(self, flow: str) -> None:
        """Hold a flow to its number."""
        found = self.modules
        assert len(found) <= RATCHET[flow], f"{flow}: {len(found)}\n" + "\n".join(found)


def _of_product(file: str) -> bool:
    return file.startswith(PRODUCT)


# -- the flows -------------------------------------------------------------------------------------


async def answered(desk: LiveDesk, name: str) -> CommandState:
    async with asyncio.timeout(PATIENCE_S):
        while (left := desk.find(name)).state not in ENDS:  # noqa: ASYNC110 another thread writes it
            await asyncio.sleep(0.01)
    return left.state


async def test_a_settings_edit_is_short(tmp_path: Path) -> None:
    """From the command's row to the limit that risk judges by, and the answer."""
    with Distance() as distance:
        async with TradingDesk(tmp_path) as desk:
            limit = {"limits": {"open_orders_max": 7}}
            version = desk.edit({"accounts": {DEMO: limit}}, base=1)
            with distance.counted():
                name = desk.leave(ApplySettings(version=version))
                assert await answered(desk, name) is CommandState.DONE
            gate = desk.engine.runners[DEMO].core.executor.gate
            assert gate.limits.open_orders_max == 7
    distance.must_be("a settings edit")


def best_bid(path: Path) -> int:
    """Return the best bid of the row that every page reads."""
    with reading(path) as connection:
        return books(connection, ENGINE_ID, [(DEMO, ONE.id)])[DEMO, ONE.id].bids[0][0]


async def test_a_price_to_its_row_is_short(tmp_path: Path) -> None:
    """From a change of a book to the row that every page reads."""
    with Distance() as distance:
        async with TradingDesk(tmp_path) as desk:
            engine, now_ns = desk.engine, desk.engine.clock.now_ns()
            runner, telemetry = engine.runners[DEMO], Telemetry(engine)
            runner.market((InstrumentListed(instrument=ONE), BOOK), now_ns)
            for _ in range(ROWS_EVERY):  # the next one tells of books again
                telemetry.second(now_ns)
            await desk.written()
            better = ((Side.BUY, 4_900, 10**7),)
            with distance.counted():
                runner.market(
                    (BookChanged(instrument=ONE.id, changes=better, exchange_ns=None),), now_ns
                )
                telemetry.second(now_ns)
                desk.engine.state.write(lambda _: None, awaited=True)  # rows go along at once
                await desk.written()
                assert best_bid(desk.path) == 4_900
    distance.must_be("a price to its row")


async def test_a_kill_is_short(tmp_path: Path) -> None:
    """From the command's row to the cancel of everything, its proof, and the receipt's row."""
    with Distance() as distance:
        async with TradingDesk(tmp_path, Exchange()) as desk:
            engine = desk.engine
            kills = engine.part(ScopedKills)
            engine.runners[DEMO].settle(engine.clock.now_ns())  # its first turn is over
            with distance.counted():
                name = desk.leave(Kill(account=DEMO))
                async with asyncio.timeout(PATIENCE_S):
                    while (left := desk.find(name)).state not in ENDS:
                        kills.watch(engine.clock.now_ns())
                        await asyncio.sleep(0.01)
            assert left.state is CommandState.DONE, left.answer
            assert "PROVEN" in left.answer
    distance.must_be("a KILL")


async def test_an_order_is_short(tmp_path: Path) -> None:
    """From a change of a book to the bot's request at the venue, and to the fill that is booked."""
    with Distance() as distance:
        async with TradingDesk(tmp_path, Exchange()) as desk:
            engine, now_ns = desk.engine, desk.quote()
            engine.state.close()  # it reads commands meanwhile, on a thread of its own
            with distance.counted():
                await desk.fill(now_ns + 10**9)
                await asyncio.sleep(0)
                await asyncio.wrap_future(engine.recorder.commit())
            assert engine.runners[DEMO].core.executor.ledger.holding(ONE.id).position != 0
    distance.must_be("an order")
