"""Ends a strategy that takes too long or too much memory: its own bot stops, the others go on.

A strategy runs on the loop's thread, so one that loops would stop everything. A thread beside it
looks a few times a second which bot the loop is in. After `BUDGET_S` in one call it has the
interpreter raise `TurnOverdue` there (PyThreadState_SetAsyncExc), which stops the bot as any other
error does. What runs outside the interpreter (a C function) cannot be interrupted so: after
`HARD_LOOKS` the bot is put into quarantine, and is in ERROR when the hung engine is started again.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from types import FunctionType, ModuleType

from engine.bots.bot import Bot
from engine.bots.core import AccountCore
from engine.bots.failing import said_of
from engine.clock import Clock
from engine.domain.inputs import BotFailed
from engine.errors import TookTooLong
from engine.in_time import TurnOverdue
from engine.plugins import PACKAGE
from engine.runtime.bot_runner import renew
from storage.quarantine import quarantine

POLL_S = 0.1
BUDGET_S = 2.0
"""Longest one call of a strategy may take: a usual one takes some 100 µs."""
AGAIN_EVERY = 5
"""Looks until it is raised again, in a strategy that catches even that."""
HARD_LOOKS = 50
WEIGHED_EVERY = 300
"""Looks between two weighings: half a minute."""
BYTES_MAX = 256 * 1024 * 1024
OBJECTS_MAX = 500_000
"""So many objects are weighed at most; one that holds more holds too much."""
SAMPLE = 500
"""Of what a container holds so many are weighed, where it holds twice as many or more."""

CODE = (type, ModuleType, FunctionType)


class TurnWatch:
    """Looks at the cores of an engine from a thread of its own."""

    def __init__(
        self,
        cores: Callable[[], Iterable[AccountCore]],
        home: Path | None,
        *,
        clock: Clock,
        thread: int | None = None,
        on_loop: Callable[[Callable[[], object]], object] | None = None,
        budget_s: float = BUDGET_S,
        bytes_max: int = BYTES_MAX,
    ) -> None:
        """`cores` are those of the loop on `thread` (None = the main one).

        `on_loop` runs something on that loop, from any thread; None = nothing is weighed. `home`
        keeps who is in quarantine; None = none is. Both are None where the past is played again.
        """
        self._cores = cores
        self._home = home
        self._clock = clock
        self._thread = thread or threading.main_thread().ident
        self._on_loop = on_loop
        self._budget_s = budget_s
        self._bytes_max = bytes_max
        self._seen: tuple[Bot, object] | None = None
        self._looks = 0
        """How often in a row the loop was found in that call. Looks are counted, not seconds: of a
        process that did not run for a while the strategy is not to blame."""
        self._over = threading.Event()

    def __enter__(self) -> None:
        """Begin to look."""
        threading.Thread(target=self._run, name="turns", daemon=True).start()

    def __exit__(self, *_: object) -> None:
        """Look no more, however what is looked at ended."""
        self._over.set()

    def _run(self) -> None:
        count = 0
        while not self._over.wait(POLL_S):
            count += 1
            with suppress(RuntimeError):  # accounts and bots come and go on the other thread
                self.look()
                if count % WEIGHED_EVERY == 0:
                    self.weigh()

    def look(self) -> None:
        """Look once which bot the loop is in, and interrupt one that is overdue."""
        busy, core = next(
            ((one.busy, one) for one in tuple(self._cores()) if one.busy is not None), (None, None)
        )
        self._looks = self._looks + 1 if busy is not None and busy is self._seen else 0
        self._seen = busy
        if busy is None or core is None:
            return
        late = self._looks - round(self._budget_s / POLL_S)
        if late >= 0 and late % AGAIN_EVERY == 0:
            self._interrupt(core, busy)
        if self._looks == HARD_LOOKS and self._home is not None:
            why = f"one call of its strategy took more than {HARD_LOOKS * POLL_S:g} s"
            with suppress(OSError):
                quarantine(self._home, busy[0].name, why)

    def _interrupt(self, core: AccountCore, busy: tuple[Bot, object]) -> None:
        """Raise in the loop's thread, unless the call has just ended."""
        core.overdue.append(
            busy
        )  # from here on the core waits for it where the call ends by itself
        if core.busy is not busy:
            core.overdue.clear()
            return
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(self._thread or 0), ctypes.py_object(TurnOverdue)
        )

    def weigh(self) -> None:
        """Stop the bots of plug-ins whose strategy holds more than may be."""
        if self._on_loop is None:
            return
        for core in tuple(self._cores()):
            for bot in core.bots:
                if too_heavy(bot, self._bytes_max):
                    error = MemoryError(
                        f"its strategy and its plug-in's files hold more than "
                        f"{self._bytes_max / 2**20:,.0f} MB; what a file keeps outside the "
                        "strategy stays until the engine is restarted"
                    )
                    self._on_loop(partial(self._stop, core, bot, error))

    def _stop(self, core: AccountCore, bot: Bot, error: MemoryError) -> None:
        """Stop a bot and drop what its strategy holds, on the loop's thread."""
        given = BotFailed(bot.account, bot.name, said_of(error))
        core.receive(given, self._clock.now_ns())
        kept = bot.kept
        with suppress(Exception):  # a plug-in's strategy that cannot be made twice keeps the memory
            renew(bot, kept)
            bot.keep(kept)  # what cannot be read is said at its next start


def too_heavy(bot: Bot, bytes_max: int = BYTES_MAX) -> bool:
    """Say whether the strategy of a plug-in and the plug-in's files hold more than may be."""
    foreign = type(bot.strategy).__module__.startswith(f"{PACKAGE}.")
    return foreign and held_by(bot.strategy, bytes_max) > bytes_max


def held_by(thing: object, most: int) -> int:
    """Return how many bytes hang on an object, estimated; it stops above `most`.

    What a plug-in's own classes, functions and files keep counts as held; code of others does not.
    A large container is judged by a sample of what is in it: this thread shares the interpreter
    with the loop, and a walk over millions of objects stood in its way for seconds.
    """
    seen: set[int] = set()
    waiting: deque[tuple[object, float]] = deque([(thing, 1.0)])
    total = 0.0
    while waiting and total <= most:
        one, weight = waiting.popleft()
        if id(one) in seen or (isinstance(one, CODE) and not _of_a_plugin(one)):
            continue
        seen.add(id(one))
        if len(seen) > OBJECTS_MAX:
            return most + 1
        total += weight * sys.getsizeof(one)
        parts, of_each = _parts_of(one)
        waiting += [(part, weight * of_each) for part in parts]
    return int(total)


def _parts_of(one: object) -> tuple[list[object], float]:
    """Return what an object refers to, and for how many of its kind each of them stands."""
    if not isinstance(one, list | tuple | deque | set | frozenset | dict):
        return gc.get_referents(one), 1.0
    count, step = len(one), len(one) // SAMPLE
    if step < 2:
        return gc.get_referents(one), 1.0
    if isinstance(one, list | tuple):
        sample: list[object] = list(one[::step])
    elif isinstance(one, dict):
        sample = [*islice(one, 0, None, step), *islice(one.values(), 0, None, step)]
        count *= 2
    else:
        sample = list(islice(one, 0, None, step))
    different = len(set(map(id, sample)))
    return sample, max(1.0, count / len(sample) * different / len(sample))


def _of_a_plugin(code: type | ModuleType | FunctionType) -> bool:
    name = code.__name__ if isinstance(code, ModuleType) else code.__module__
    return isinstance(name, str) and name.startswith(f"{PACKAGE}.")


@contextmanager
def held_back(home: Path, bot: str) -> Iterator[None]:
    """Put a bot into quarantine whose strategy cannot be made or restored in its time.

    Also while it hangs, where it cannot be interrupted: the next start leaves it alone. Raises
    TookTooLong again.
    """
    over = threading.Event()

    def look() -> None:
        for _ in range(HARD_LOOKS + round(BUDGET_S / POLL_S)):
            if over.wait(POLL_S):
                return
        with suppress(OSError):
            quarantine(home, bot, "its strategy could not be made, and not be interrupted")

    threading.Thread(target=look, name="making", daemon=True).start()
    try:
        yield
    except TookTooLong as error:
        with suppress(OSError):
            quarantine(home, bot, str(error))
        raise
    finally:
        over.set()
