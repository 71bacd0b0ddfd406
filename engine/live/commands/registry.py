"""Commands on a live desk: a function `(engine, command, who)` each, found by scan of this folder.

`@command(Kind)` says who takes a kind; what the function gives is the answer: Done, Refused or
Failed at once, or a Pending that is answered when it has become true. Where something is kept
between commands it is a method of a `@part`, of which every engine has one. A new command is a
struct beside `engine.domain.commands` and a function here, or one file of a plug-in whose `run`
gives the answer as a sentence or as these do: nothing that exists is edited.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from functools import cache
from itertools import islice
from sqlite3 import Connection
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import msgspec

from engine.domain.commands import ADDED_COMMANDS, Command, Kill, journaled
from engine.domain.instruments import AccountId
from engine.errors import (
    BadInput,
    BrokenInvariant,
    ConfigError,
    PitbossError,
    PluginFailed,
    StorageError,
)
from engine.plugins import Found, found
from engine.runtime.account_runner import AccountRunner
from engine.runtime.recovery import ENGINE_WIDE
from storage.commands import OVERTAKEN, CommandState, LeftCommand, StandingMark, answer, mark

if TYPE_CHECKING:
    from engine.live.engine import Engine


class Done(msgspec.Struct, frozen=True):
    """It was done; `text` says what, for the person who asked."""

    text: str
    state: ClassVar[CommandState] = CommandState.DONE


class Refused(msgspec.Struct, frozen=True):
    """It was understood and not done; `text` says why."""

    text: str
    state: ClassVar[CommandState] = CommandState.REFUSED


class Failed(msgspec.Struct, frozen=True):
    """It was tried and did not work; `text` says what happened."""

    text: str
    state: ClassVar[CommandState] = CommandState.FAILED


Answer = Done | Refused | Failed


class Pending:
    """An answer that comes later, given once by whoever knows; on the loop's thread."""

    def __init__(self) -> None:
        self._answer: Answer | None = None
        self._taken: Callable[[Answer], None] | None = None

    def give(self, answer: Answer) -> None:
        self._answer = answer
        if self._taken is not None:
            self._taken(answer)

    def done_or_failed(self, done: bool, text: str) -> None:
        """Give the answer of something that was tried."""
        self.give(Done(text) if done else Failed(text))

    def done_or_refused(self, done: bool, text: str) -> None:
        """Give the answer of something that changed nothing where it was not done."""
        self.give(Done(text) if done else Refused(text))

    def then(self, take: Callable[[Answer], None]) -> None:
        self._taken = take
        if self._answer is not None:
            take(self._answer)


def where_files_are_written(engine: Engine, do: Callable[[Any], str]) -> Pending:
    """Do something with the state file's connection; its words, or its refusal, are the answer."""
    pending, soon = Pending(), engine.ended.get_loop().call_soon_threadsafe

    def run(connection: Connection) -> None:
        answer: Answer
        try:
            answer = Done(do(connection))
        except OSError as error:
            answer = Refused(str(error))
        soon(pending.give, answer)

    engine.state.do(run, refused=lambda why: soon(pending.give, Refused(why)))
    return pending


def answered_beside(engine: Engine, work: Coroutine[object, object, Answer]) -> Pending:
    """Answer with what some work beside trading gives; what it refuses is the answer, too."""
    pending = Pending()

    async def run() -> None:
        try:
            pending.give(await work)
        except BadInput as error:
            pending.give(Refused(str(error)))
        except PitbossError as error:
            pending.give(Failed(str(error)))

    engine.beside(run())
    return pending


def runner_of(engine: Engine, account: str) -> AccountRunner:
    """Return an account's runner. Raises BadInput where there is none."""
    runner = engine.runners.get(AccountId(account))
    if runner is None:
        raise BadInput(f"there is no account {account!r} here")
    return runner


def trading_runner_of(engine: Engine, account: str) -> AccountRunner:
    """Return the runner of an account to which more may come. Raises BadInput where it may not."""
    runner = runner_of(engine, account)
    if account not in engine.settings.document.accounts:
        raise BadInput(f"account {account} was removed: the next start asks nothing there")
    return runner


def marked(engine: Engine, given: StandingMark, text: str, *, on: bool) -> Pending:
    """Set a mark in the state file, or take it away; the answer is `text`."""

    def write(connection: Connection) -> str:
        mark(connection, engine.engine_id, given, on=on)
        return text

    return where_files_are_written(engine, write)


Made = TypeVar("Made")
Function = TypeVar("Function", bound=Callable[[Any, Any, str], Answer | Pending])


class Handler(msgspec.Struct, frozen=True):
    """Who takes a kind of command."""

    handle: Callable[[Any, Any, str], Answer | Pending]
    """(engine or part, command, who)."""
    check: Callable[[Any, Any], None] | None = None
    """Asked before the journal: a start takes a command that stands there for done."""
    makes_safe: bool = False
    """It only cancels: it never waits for a disk, and is journaled as soon as that can be."""
    of: Callable[[Engine], object] | None = None
    """The part whose method it is; None = a function."""


_handlers: dict[type[Command], Handler] = {}
_parts: list[Callable[[Engine], object]] = []


def command(
    *kinds: type[Command],
    check: Callable[[Engine, Any], None] | None = None,
    makes_safe: bool = False,
) -> Callable[[Function], Function]:
    """Say that a function takes these kinds. Raises BrokenInvariant where one is taken already."""

    def declare(handle: Function) -> Function:
        for kind in kinds:
            if kind in _handlers:
                raise BrokenInvariant(f"two functions take the command {kind.__name__}")
            _handlers[kind] = Handler(handle, check, makes_safe)
        return handle

    return declare


def part(made: type[Made]) -> type[Made]:
    """Say that every engine has one of this class from its start on, which takes its commands."""
    _parts.append(made)
    methods = list(vars(made).values())
    for kind, handler in _handlers.items():
        if handler.handle in methods:
            _handlers[kind] = msgspec.structs.replace(handler, of=made)
    return made


@cache
def _scan() -> None:
    for one in found("commands", "engine.live.commands"):
        for kind in one.defined(Command) if one.plugin else ():
            if kind in ADDED_COMMANDS:
                _handlers[kind] = Handler(_answering(one))


def _answering(one: Found) -> Callable[[object, object, str], Answer | Pending]:
    """Return a plug-in's function as one that gives an answer: a sentence means it was done."""
    run = one.guarded(one.module.run)

    def handle(engine: object, command: object, who: str) -> Answer | Pending:
        given = run(engine, command, who)
        return given if isinstance(given, (Done, Refused, Failed, Pending)) else Done(str(given))

    return handle


def handlers() -> dict[type[Command], Handler]:
    _scan()
    return _handlers


def parts() -> list[Callable[[Engine], object]]:
    _scan()
    return _parts


# -- Commands on a live desk: claimed → checked → journaled → handled → answered -------------------
# What cannot be done is refused with the reason. Nothing is answered before it is so, and before
# the journal holds all it speaks of; where the disk refuses that, the answer says so.


AT_ONCE = 10
"""Commands that are done in one turn of the loop: less than a millisecond each."""

WAITING_MAX = 500
"""Commands that are claimed and wait; the others wait in the file, where a KILL overtakes them."""


ENDING = "the engine ends, nothing was done: ask again when it has started"
"""Of a command that does more than make safe: proof and sweep of an end know what trades then."""


class Commands:
    """Handles commands for one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._takers = {made: engine.make(made) for made in parts()}
        self._left: deque[LeftCommand] = deque()
        self._woken = False

    @property
    def has_room(self) -> bool:
        """Say whether more may be claimed."""
        return len(self._left) < WAITING_MAX

    def receive(self, left: list[LeftCommand]) -> None:
        """Take claimed commands, oldest first, `AT_ONCE` a turn. A KILL behind more is taken now.

        What such a KILL overtakes is refused, where it does not only make safe: it would be done
        after the KILL.
        """
        self._left.extend(left)
        later = islice(self._left, AT_ONCE, None)
        for kill in [one for one in later if type(one.command) is Kill]:
            self._left.remove(kill)
            self._refuse_before(kill)
            self._take(kill)
        if not self._woken:
            self._next()

    def _refuse_before(self, kill: LeftCommand) -> None:
        waiting, self._left = self._left, deque()
        for one in waiting:
            handler = handlers().get(type(one.command))
            if one.created_ns > kill.created_ns or (handler is not None and handler.makes_safe):
                self._left.append(one)
            else:
                self._answer(one.id, Refused(OVERTAKEN))

    def _next(self) -> None:
        """Take some that wait; the rest after whatever else the loop has to do."""
        for _ in range(min(AT_ONCE, len(self._left))):
            self._take(self._left.popleft())
        if self._left and not self._woken:
            self._woken = True
            self._engine.ended.get_loop().call_soon(self._wake)

    def _wake(self) -> None:
        self._woken = False
        self._next()

    def _take(self, left: LeftCommand) -> None:
        name = type(left.command).__name__
        self._engine.log.info("command", id=left.id, kind=name, who=left.who)
        try:
            given = self._handle(left.command, left.who)
        except (BadInput, ConfigError) as error:
            given = Refused(str(error))
        except (StorageError, OSError, PluginFailed) as error:
            given = Failed(str(error))
        if isinstance(given, Pending):
            given.then(lambda later: self._answer(left.id, later))
        else:
            self._answer(left.id, given)

    def _handle(self, command: Command, who: str) -> Answer | Pending:
        handler = handlers().get(type(command))
        if handler is None:
            raise BadInput(f"this engine does not know {type(command).__name__} yet")
        if self._engine.ended.done() and not handler.makes_safe:
            raise BadInput(ENDING)
        if handler.check is not None:
            handler.check(self._engine, command)
        self._journal(command, handler)
        taker = self._engine if handler.of is None else self._takers[handler.of]
        return handler.handle(taker, command, who)

    def _journal(self, command: Command, handler: Handler) -> None:
        """Keep a command before it is done. Raises StorageError, but for one that makes safe."""
        engine, now_ns = self._engine, self._engine.clock.now_ns()
        try:
            engine.recorder.append(ENGINE_WIDE, journaled(command), now_ns)
        except StorageError as error:
            if not handler.makes_safe:
                raise StorageError(f"nothing was done: {error}") from error
            engine.journal(command, now_ns)

    def _answer(self, name: str, given: Answer) -> None:
        engine, at_ns = self._engine, self._engine.wall_ns()

        def write(kept: Future[int]) -> None:
            error = kept.exception()
            text = given.text + (f" (not in the journal yet: {error})" if error else "")
            engine.state.write_row(
                answer, name, state=given.state, text=text, now_ns=at_ns, awaited=True
            )

        engine.recorder.commit().add_done_callback(write)
