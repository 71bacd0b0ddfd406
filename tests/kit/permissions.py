"""Root without its right to do everything: files are as readable and writable as they say."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

OBEYS = "TESTS_OBEY_PERMISSIONS"
"""In the environment of a forked program: it obeys from its first line on."""


class _Capabilities(ctypes.Structure):
    """Effective, permitted and inheritable, 32 at a time."""

    _fields_ = [("sets", ctypes.c_uint32 * 6)]


def obey() -> Callable[[], None]:
    """Take the right to write what nobody may from this thread; return what gives it back."""
    if sys.platform != "linux":
        return lambda: None
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    was, now = _Capabilities(), _Capabilities()
    assert libc.capget(header, ctypes.byref(was)) == 0
    now.sets[:] = was.sets[:]
    now.sets[0] &= ~0b110  # DAC_OVERRIDE, DAC_READ_SEARCH
    assert libc.capset(header, ctypes.byref(now)) == 0

    def again() -> None:
        assert libc.capset(header, ctypes.byref(was)) == 0

    return again


@contextmanager
def anybody() -> Iterator[None]:
    """Have this thread, and those it starts, obey permissions for a while."""
    again = obey()
    try:
        yield
    finally:
        again()
