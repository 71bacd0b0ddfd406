"""supervisord as `engine up` runs it: a terminal that is closed stops the desk.

supervisord itself takes SIGHUP for a request to stop its programs and start them again. What sends
it here is a terminal's end: the desk would go on without one, with orders that no person asked for.
Runs as `python -m engine.cli.supervise`, with supervisord's own arguments.
"""

from __future__ import annotations

import signal
from types import FrameType

from supervisor import supervisord
from supervisor.options import ServerOptions


class DeskOptions(ServerOptions):  # type: ignore[misc] # supervisor has no types
    """supervisord's options, with SIGHUP as one more request to stop."""

    def setsignals(self) -> None:
        """Receive what supervisord receives; SIGHUP counts as SIGTERM.

        Where SIGHUP was ignored from the start, as under nohup, it stays ignored.
        """
        outlives = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        super().setsignals()
        signal.signal(signal.SIGHUP, signal.SIG_IGN if outlives else self._hung_up)

    def _hung_up(self, number: int, frame: FrameType | None) -> None:
        del number
        self.signal_receiver.receive(signal.SIGTERM, frame)


def main() -> None:
    """Be supervisord until it is asked to end."""
    supervisord.ServerOptions = DeskOptions
    supervisord.main()


if __name__ == "__main__":
    main()
