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
from functools import partial
from signal import SIGTERM
from typing import Any

from engine.lab.pump import NEVER

UNWINDS_MAX = 20
"""Most `finally` clauses of one coroutine that wait for something."""


class EngineDied(SystemExit):
    """The process is gone: raised through whatever runs in it, caught by the world.

    No `Exception`: nothing inside an engine survives its own death.
    """


class Process(asyncio.BaseEventLoop):
    """Runs what is due, in the order in which it became so. `now_ns` is the world's time."""

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]
    _run_once: Callable[[], None]

    def __init__(self, now_ns: Callable[[], int]) -> None:
        super().__init__()
        self.dead = False
        self.frozen = False
        """True while it hangs: nothing in it moves."""
        self._now_ns = now_ns
        self._began_ns = now_ns()
        self._selector = self
        self._signals: dict[int, Callable[[], object]] = {}

    # -- the world's side --------------------------------------------------------------------------

    @property
    def due_ns(self) -> int:
        """When something happens here by itself."""
        if self.frozen or self.dead:
            return NEVER
        if self._ready:
            return self._now_ns()
        return self._began_ns + round(self._scheduled[0].when() * 1e9) if self._scheduled else NEVER

    def run(self) -> None:
        """Let happen what is due by now. Raises EngineDied."""
        now_ns = self._now_ns()
        events._set_running_loop(self)  # noqa: SLF001 there for who makes a loop
        try:
            while self.due_ns <= now_ns:
                self._run_once()
        finally:
            events._set_running_loop(None)  # noqa: SLF001 the same

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

    def select(self, timeout: float | None) -> tuple[()]:
        """Return nothing at once: there are no files to wait for, and time is the world's."""
        del timeout
        return ()

    def _process_events(self, event_list: tuple[()]) -> None:
        """Do nothing: there are none."""

    def add_signal_handler(  # type: ignore[override]
        self, sig: int, callback: Callable[..., object], *args: Any
    ) -> None:
        """Note what a signal does."""
        self._signals[sig] = partial(callback, *args)

    def _write_to_self(self) -> None:
        """Do nothing: there is one thread, nobody has to be woken."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Tell what nobody caught; the dead say nothing."""
        if not self.dead:
            super().call_exception_handler(context)
