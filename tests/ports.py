"""Ports for the programs of tests: no worker, and no other copy of the suite, is given the same."""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from pathlib import Path
from typing import TextIO

FIRST, COUNT = 20_000, 10_000
"""Below those the kernel gives to whoever connects: one of them could be taken, or could connect to
itself, between being found free and being listened at."""

CLAIMS = Path(tempfile.gettempdir()) / f"pitboss-test-ports-{os.getuid()}"

_claimed: list[TextIO] = []
"""Held open: a claim ends with its process, however that ends."""


def free_port() -> int:
    """Return a port at which nobody listens, and that is this process's until it ends."""
    CLAIMS.mkdir(exist_ok=True)
    begin = os.getpid() * 101  # neighbours begin apart
    for number in range(COUNT):
        port = FIRST + (begin + number) % COUNT
        claim = (CLAIMS / str(port)).open("w")
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
            continue
        _claimed.append(claim)
        return port
    raise AssertionError("every port is taken")
