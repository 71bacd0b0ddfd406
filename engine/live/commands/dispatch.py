"""Commands on a live desk: claimed → checked → journaled → handled → answered.

What cannot be done is refused with the reason. Nothing is answered before it is so, and before the
journal holds all it speaks of; where the disk refuses that, the answer says so.
"""

from __future__ import annotations

from concurrent.futures import Future

from engine.domain.commands import Command
from engine.errors import BadInput, ConfigError, StorageError
from engine.live.commands.registry import (
    Answer,
    Failed,
    Handler,
    Pending,
    Refused,
    handlers,
    parts,
)
from engine.live.engine import Engine
from engine.runtime.recovery import HOUSE
from storage.commands import LeftCommand, answer


class Commands:
    """Handles commands for one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        for made in parts():
            engine.make(made)

    def receive(self, left: list[LeftCommand]) -> None:
        """Take claimed commands, oldest first."""
        for one in left:
            self._take(one)

    def _take(self, left: LeftCommand) -> None:
        name = type(left.command).__name__
        self._engine.log.info("command", id=left.id, kind=name, who=left.who)
        try:
            given = self._handle(left.command, left.who)
        except (BadInput, ConfigError) as error:
            given = Refused(str(error))
        except (StorageError, OSError) as error:
            given = Failed(str(error))
        if isinstance(given, Pending):
            given.then(lambda later: self._answer(left.id, later))
        else:
            self._answer(left.id, given)

    def _handle(self, command: Command, who: str) -> Answer | Pending:
        handler = handlers().get(type(command))
        if handler is None:
            raise BadInput(f"this engine does not know {type(command).__name__} yet")
        if handler.check is not None:
            handler.check(self._engine, command)
        self._journal(command, handler)
        return handler.handle(self._engine, command, who)

    def _journal(self, command: Command, handler: Handler) -> None:
        """Keep a command before it is done. Raises StorageError, but for one that makes safe."""
        engine, now_ns = self._engine, self._engine.clock.now_ns()
        try:
            engine.recorder.append(HOUSE, command, now_ns)
        except StorageError as error:
            if not handler.makes_safe:
                raise StorageError(f"nothing was done: {error}") from error
            engine.keep(command, now_ns)

    def _answer(self, name: str, given: Answer) -> None:
        """Write an answer when the journal is on the disk up to here, or with why it is not."""
        engine, at_ns = self._engine, self._engine.wall_ns()

        def write(kept: Future[int]) -> None:
            error = kept.exception()
            text = given.text + (f" (not in the journal yet: {error})" if error else "")
            engine.state.write(
                lambda c: answer(
                    c, engine.engine_id, name, state=given.state, text=text, now_ns=at_ns
                ),
                awaited=True,
            )

        engine.recorder.commit().add_done_callback(write)
