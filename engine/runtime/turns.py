"""Whose turn it is: a market batch wakes every account, and each turn is a step of the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Turns:
    """Gives the accounts of an engine their turns one at a time.

    Between two of them the loop receives whatever else waits, a KILL first. A desk of one account
    turns at once: there is no other to wait for. On the loop's thread alone.
    """

    def __init__(self) -> None:
        self._accounts = 0
        self._waiting: dict[Callable[[], None], None] = {}
        """Who waits for a turn, each once; who came first is first."""
        self._taken = False
        """This step of the loop has had its turn."""

    def join(self) -> None:
        """Count one account more."""
        self._accounts += 1

    def leave(self, turn: Callable[[], None]) -> None:
        """Forget an account: it turns no more."""
        self._accounts -= 1
        self._waiting.pop(turn, None)

    def now(self, turn: Callable[[], None]) -> bool:
        """Say whether an account may turn at once; otherwise `turn` is called in a later step.

        What it receives until then is in that one turn.
        """
        if self._accounts <= 1:
            return True
        if not self._taken:
            self._taken = True
            asyncio.get_running_loop().call_soon(self._next)
            return True
        self._waiting[turn] = None
        return False

    def _next(self) -> None:
        if not self._waiting:
            self._taken = False
            return
        turn = next(iter(self._waiting))
        del self._waiting[turn]
        asyncio.get_running_loop().call_soon(self._next)
        turn()
