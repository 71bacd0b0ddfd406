"""Ends foreign code that takes too long where no engine's watch looks: its import, its making.

A plug-in's module is imported, its strategy made and restored between the turns, on the thread of
whoever asked: an engine's loop, a worker's, a command's. A thread beside it counts short waits
and has the interpreter raise `TurnOverdue` there once the budget is used, by
PyThreadState_SetAsyncExc. What runs outside the interpreter (a C function) cannot be ended so;
`on_stuck` is called then.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from engine.errors import TookTooLong

T = TypeVar("T")

POLL_S = 0.1
BUDGET_S = 2.0
"""Longest a strategy may take to be made or restored: a usual one takes a millisecond."""
IMPORT_S = 10.0
"""Longest a plug-in's file may take to be imported: it may load libraries for the first time."""
HARD_S = 5.0
"""So long after its budget what still runs cannot be interrupted."""
SPINS = 20_000_000


class TurnOverdue(BaseException):
    """A strategy took longer than its time; no `except Exception` of it keeps that from ending."""


class CallWatch:
    """Looks at one call from a thread of its own, until the call is over."""

    def __init__(self, budget_s: float, on_stuck: Callable[[], object] | None) -> None:
        self._thread = threading.get_ident()
        self._looks = round(budget_s / POLL_S)
        self._hard = round((budget_s + HARD_S) / POLL_S)
        self._on_stuck = on_stuck
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self.raised = False

    def run(self) -> None:
        """Wait for the end of the call; interrupt one that is overdue, again and again."""
        count = 0
        while not self._ended.wait(POLL_S):
            # Waits are counted, not seconds: a process that was stopped for a while is not overdue.
            count += 1
            if count >= self._looks and not (count - self._looks) % 5:
                self._interrupt()
            if count == self._hard and self._on_stuck is not None:
                self._on_stuck()

    def _interrupt(self) -> None:
        with self._lock:
            if not self._ended.is_set():
                self.raised = True
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(self._thread), ctypes.py_object(TurnOverdue)
                )

    def end(self) -> None:
        """Say that the call is over: nothing is raised from here on."""
        with self._lock:
            self._ended.set()

    def settle(self) -> None:
        """End, and have what was raised already come here, where it ends no other call.

        Raises TurnOverdue.
        """
        self.end()
        if self.raised:
            for _ in range(SPINS):
                pass
            raise TurnOverdue("it caught what was to end it")


def in_time(
    call: Callable[[], T],
    what: str,
    *,
    budget_s: float | None = None,
    on_stuck: Callable[[], object] | None = None,
) -> T:
    """Return what a call returns. Raises TookTooLong with where it was after `budget_s` seconds.

    `what` names it in the sentence. `budget_s` None = `BUDGET_S`. `on_stuck` is called, from
    another thread, where the call goes on all the same.
    """
    budget_s = BUDGET_S if budget_s is None else budget_s
    watch = CallWatch(budget_s, on_stuck)
    threading.Thread(target=watch.run, name="in time", daemon=True).start()
    try:
        try:
            found = call()
        except TurnOverdue:
            raise
        except BaseException:
            watch.settle()
            raise
        watch.settle()
        return found
    except TurnOverdue as error:
        with suppress(TurnOverdue):  # one that was raised a second time
            watch.end()
        text = f"{what} took longer than {budget_s:g} s{_place(error)}"
        raise TookTooLong(text).with_traceback(error.__traceback__) from None


def _place(error: BaseException) -> str:
    """Return where a call was interrupted, in words; empty = in no file but this one."""
    trace, said = error.__traceback__, ""
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_filename != __file__:
            said = f", interrupted in {code.co_name}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return said
