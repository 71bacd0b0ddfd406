"""What a command's handler is: a function `(engine, command, who)` found by scan of this folder.

`@command(Kind)` says who takes a kind; what the function gives is the answer: Done, Refused or
Failed at once, or a Pending that is answered when it has become true. A new command is a struct
beside `engine.domain.commands` and a function here: nothing that exists is edited.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import msgspec

import engine.live.commands
from engine.domain.commands import Command
from engine.errors import BrokenInvariant
from storage.commands import CommandState

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
_ANSWERS: dict[CommandState, type[Answer]] = {one.state: one for one in (Done, Refused, Failed)}


class Pending:
    """An answer that comes later, given once by whoever knows; on the loop's thread."""

    def __init__(self) -> None:
        self._answer: Answer | None = None
        self._taken: Callable[[Answer], None] | None = None

    def give(self, answer: Answer) -> None:
        self._answer = answer
        if self._taken is not None:
            self._taken(answer)

    def reply(self, state: CommandState, text: str) -> None:
        self.give(_ANSWERS[state](text))

    def done_or_failed(self, done: bool, text: str) -> None:
        """Give the answer of something that was tried."""
        self.give(Done(text) if done else Failed(text))

    def done_or_refused(self, done: bool, text: str) -> None:
        """Give the answer of something that changed nothing where it was not done."""
        self.give(Done(text) if done else Refused(text))

    def then(self, take: Callable[[Answer], None]) -> None:
        """Hand the answer to `take` as soon as there is one."""
        self._taken = take
        if self._answer is not None:
            take(self._answer)


Made = TypeVar("Made")
Function = Callable[[Any, Any, str], Answer | Pending]
"""(engine, command, who)."""


class Handler(msgspec.Struct, frozen=True):
    """Who takes a kind of command."""

    handle: Function
    check: Callable[[Any, Any], None] | None = None
    """Asked before the journal: a start takes a command that stands there for done."""
    makes_safe: bool = False
    """It only cancels: it never waits for a disk, and is journaled as soon as that can be."""


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
    """Say that every engine has one of this class from its start on: `engine.part(made)`."""
    _parts.append(made)
    return made


@cache
def _scan() -> None:
    for module in pkgutil.iter_modules(engine.live.commands.__path__):
        importlib.import_module(f"{engine.live.commands.__name__}.{module.name}")


def handlers() -> dict[type[Command], Handler]:
    """Return who takes what, of every file in this folder."""
    _scan()
    return _handlers


def parts() -> list[Callable[[Engine], object]]:
    _scan()
    return _parts
