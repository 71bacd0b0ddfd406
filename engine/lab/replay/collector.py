"""The garbage collector while a replay runs: what was loaded before it is not searched again.

A replay makes millions of short-lived messages and hardly a cycle, so the default collector spends
its time walking over what will live to the end. Here what exists at the start is frozen and the
youngest generation may grow larger; afterwards everything is as it was.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG_OBJECTS_MAX = 200_000
"""Objects made, less objects freed, between two collections of the youngest generation."""


@contextmanager
def collecting_rarely() -> Iterator[None]:
    """Collect rarely inside the block. A collector somebody switched off or froze stays so."""
    thresholds = gc.get_threshold()
    frozen_before = gc.get_freeze_count() > 0
    if not frozen_before:
        gc.freeze()
    gc.set_threshold(max(YOUNG_OBJECTS_MAX, thresholds[0]) if thresholds[0] else 0, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        if not frozen_before:
            gc.unfreeze()
