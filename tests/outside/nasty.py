"""Inputs nobody meant: a valid sample with one or more of its values replaced by nonsense."""

from __future__ import annotations

import json
import marshal
from random import Random
from typing import Any

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 5, 10**9, 10**15, 10**18, 1 << 63, 1 << 64, 10**40, -(10**30),
    0.1, -0.5, 1e300, 1e-300, float("nan"), float("inf"), float("-inf"), "", " ", "0", "1", "-1",
    "0.5", "1e3", "1e999999", "1e-999999", "NaN", "Infinity", "1_000", "١٢", "²", "0x10", "9" * 30,
    "9" * 18, "0." + "1" * 40, "true", "null", "\ud800", "\x00", "a" * 2_000, "2026-13-45", "[]",
    '["a","b"]', "[" * 500, "9999-12-31T23:59:59+14:00", "0001-01-01T00:00:00+14:00",
    "1795575000", "1795575000123", "1795575000456789", "1795575000456789123", [], {}, [None], [[]],
    [[[[]]]], {"a": {}}, [1, "2"], ["x", "y"], "BUY", "SELL", "LIVE", "CONFIRMED",
)  # fmt: skip


def copied(value: Any) -> Any:
    """Return a copy of plain data, four times as fast as `copy.deepcopy` gives it."""
    return marshal.loads(marshal.dumps(value))


def mangled(sample: Any, rng: Random) -> Any:
    """Return a sample with one to three of its places changed, dropped, doubled or nested."""
    made = copied(sample)
    for _ in range(rng.randint(1, 3)):
        places = list(_places(made))
        if not places:
            return copied(rng.choice(VALUES))
        parent, key = rng.choice(places)
        what = rng.random()
        if what < 0.75:
            parent[key] = copied(rng.choice(VALUES))
        elif what < 0.85 and isinstance(parent, dict):
            del parent[key]
        elif what < 0.95:
            parent[key] = [parent[key]] if rng.random() < 0.5 else {"x": parent[key]}
        elif isinstance(parent, list):
            parent.append(copied(parent[key]))
    return made


def mangled_bytes(sample: Any, rng: Random) -> bytes:
    """Return a mangled sample as JSON, now and then with its bytes cut, flipped or nested."""
    text = json.dumps(mangled(sample, rng)).encode()
    what = rng.random()
    if what < 0.05:
        return text[: rng.randrange(len(text) + 1)]
    if what < 0.1 and text:
        at = rng.randrange(len(text))
        return text[:at] + bytes([rng.randrange(256)]) + text[at + 1 :]
    if what < 0.11:
        return b"[" * 5_000 + text
    return text


def _places(value: Any) -> Any:
    if isinstance(value, dict):
        for key, one in list(value.items()):
            yield value, key
            yield from _places(one)
    elif isinstance(value, list):
        for at, one in enumerate(value):
            yield value, at
            yield from _places(one)
