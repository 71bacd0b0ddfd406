"""One process of simulated time: a loop of asyncio whose clock is the world's.

What the engine awaits, it awaits here as on any loop; nothing ever waits for the machine. The world
lets it run when something is due. A process that hangs is not run, and one that died has forgotten
everything: nothing of it ever moves again.
"""

from __future__ import annotations

import asyncio
from asyncio import events
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, copy_context
from functools import partial
from heapq import heappop, heappush
from signal import SIGTERM
from typing import Any, TypeVar

from engine.domain.plain import PlainDict
from engine.lab.pump import NEVER

_Given = TypeVar("_Given")

UNWINDS_MAX = 20
"""Most `finally` clauses of one coroutine that wait for something."""


class EngineDied(SystemExit):
    """The process is gone: raised through whatever runs in it, caught by the world.

    No `Exception`: nothing inside an engine survives its own death.
    """


class Call:
    """A call that waits for its turn, without what asyncio's own handles do to be debugged."""

    __slots__ = ("act", "context", "given", "gone")

    def __init__(
        self, act: Callable[..., object], given: tuple[Any, ...], context: Context | None
    ) -> None:
        self.act = act
        self.given = given
        self.context = copy_context() if context is None else context
        self.gone = False

    def __lt__(self, other: Call) -> bool:
        """Two of one moment are in no order, as in asyncio."""
        return False

    def cancel(self) -> None:
        """Let it not happen; it is taken out when its time comes."""
        self.gone = True

    def cancelled(self) -> bool:
        return self.gone


def _settle(future: asyncio.Future[_Given], work: Callable[[], _Given]) -> None:
    if future.cancelled():
        return
    try:
        given = work()
    except Exception as error:  # noqa: BLE001 it is the answer of whoever awaits it
        future.set_exception(error)
    else:
        future.set_result(given)


class Process(asyncio.BaseEventLoop):
    """Runs what is due, in the order in which it became so. `now_ns` is the world's time.

    Calls and timers are kept as the loops of asyncio keep theirs: a round takes what is ready, then
    the timers that are due; what they ask for meanwhile waits for the next round.
    """

    _ready: deque[Call]
    _clock_resolution: float
    _check_closed: Callable[[], None]

    def __init__(self, now_ns: Callable[[], int]) -> None:
        super().__init__()
        self.dead = False
        self.turns = 0
        """How many calls it has made."""
        self.frozen = False
        """True while it hangs: nothing in it moves."""
        self._now_ns = now_ns
        self._began_ns = now_ns()
        self._timers: list[tuple[float, Call]] = []
        self._timer_ns = NEVER
        """When the first timer is due."""
        self._signals: dict[int, Callable[[], object]] = {}

    # -- the world's side --------------------------------------------------------------------------

    @property
    def due_ns(self) -> int:
        """When something happens here by itself; 0 = at once."""
        if self.frozen or self.dead:
            return NEVER
        return 0 if self._ready else self._timer_ns

    def run(self) -> None:
        """Let happen what is due by now. Raises EngineDied."""
        now_ns, ready, timers = self._now_ns(), self._ready, self._timers
        end_s = self.time() + self._clock_resolution
        events._set_running_loop(self)  # noqa: SLF001 there for who makes a loop
        try:
            while ready or self._timer_ns <= now_ns:
                while timers and timers[0][1].gone:
                    heappop(timers)
                while timers and timers[0][0] < end_s:
                    ready.append(heappop(timers)[1])
                self._look_at_timers()
                for _ in range(len(ready)):
                    call = ready.popleft()
                    if not call.gone:
                        self._do(call)
        finally:
            events._set_running_loop(None)  # noqa: SLF001 the same

    def _do(self, call: Call) -> None:
        self.turns += 1
        try:
            call.context.run(call.act, *call.given)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 the loops of asyncio do so
            self.call_exception_handler({"message": f"{call.act} raised", "exception": error})

    def _look_at_timers(self) -> None:
        timers = self._timers
        self._timer_ns = self._began_ns + round(timers[0][0] * 1e9) if timers else NEVER

    def within(self, act: Callable[..., object], *given: Any) -> None:
        """Do something in it when it next moves."""
        if not self.dead:
            self.call_soon(act, *given)

    def terminate(self) -> None:
        """Ask it to end, as a supervisor does."""
        self.call_soon(self._signals[SIGTERM])

    def die(self) -> None:
        """End it where it stands: no line of it runs any more but what Python itself unwinds."""
        self.dead = True
        self._timers.clear()
        self._timer_ns = NEVER
        coroutines = [task.get_coro() for task in asyncio.all_tasks(self)]
        self.close()
        for coroutine in coroutines:
            for _ in range(UNWINDS_MAX):
                with suppress(BaseException):
                    coroutine.close()
                    break

    # -- what a loop of asyncio asks of its kind ---------------------------------------------------

    def time(self) -> float:
        """Return the seconds since it began."""
        return (self._now_ns() - self._began_ns) / 1e9

    def _must_live(self) -> None:
        if self.dead:
            raise RuntimeError("the process is dead")

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Call:
        """Call it in the next round. Raises RuntimeError in a process that is dead."""
        self._must_live()
        call = Call(callback, args, context)
        self._ready.append(call)
        return call

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> Call:
        """Call it after so many seconds. Raises RuntimeError in a process that is dead."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> Call:
        """Call it at a time of its own clock. Raises RuntimeError in a process that is dead."""
        self._must_live()
        call = Call(callback, args, context)
        heappush(self._timers, (when, call))
        if self._timers[0][1] is call:
            self._look_at_timers()
        return call

    def run_in_executor(
        self, executor: object, func: Callable[..., _Given], *args: object
    ) -> asyncio.Future[_Given]:
        """Return a future of what a thread would give: it runs in the next round, in this thread.

        A thread of the machine would end at a time of its own, and a seed would be no seed.
        """
        del executor
        future: asyncio.Future[_Given] = self.create_future()
        self.call_soon(_settle, future, partial(func, *args))
        return future

    def add_signal_handler(  # type: ignore[override]
        self, sig: int, callback: Callable[..., object], *args: Any
    ) -> None:
        """Note what a signal does."""
        self._signals[sig] = partial(callback, *args)

    def call_exception_handler(self, context: PlainDict) -> None:
        """Report an exception that no code caught; a dead process reports nothing."""
        if not self.dead:
            super().call_exception_handler(context)
