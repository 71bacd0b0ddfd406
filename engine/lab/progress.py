"""How far a long command is, on standard error: the answer on standard output stays clean."""

from __future__ import annotations

import sys

STEPS = 20
"""Where standard error is no terminal but a log, a line is written this often at most."""


class ProgressLine:
    """One line, rewritten at a terminal; in a log, a line per twentieth. `end` leaves it clean."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._terminal = sys.stderr.isatty()
        self._written = False
        self._step = 0

    def __call__(self, done: float, total: float, note: str) -> None:
        """Tell that `done` of `total` (of any unit, above 0) is behind us."""
        if not self._shown:
            return
        share = f"{100 * done / total:5.1f} %  {note}"
        if self._terminal:
            self._written = True
            sys.stderr.write(f"\r{share}\x1b[K")
        elif (step := int(STEPS * done / total)) > self._step and done < total:
            self._step = step
            sys.stderr.write(f"{share}\n")
        sys.stderr.flush()

    def end(self) -> None:
        """Wipe the line away: what follows is the result or the sentence of an error."""
        if self._written:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
