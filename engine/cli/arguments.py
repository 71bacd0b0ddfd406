"""Numbers and addresses as a person types them at the command line.

Each gives what argparse calls a type: the value, or ArgumentTypeError with a sentence, which
argparse prints behind the option's name and ends with exit code 2.
"""

from __future__ import annotations

import math
from argparse import ArgumentTypeError
from collections.abc import Callable
from urllib.parse import urlsplit

PORT_MAX = 65_535
WHOLE_MAX = 2**63 - 1
"""The largest number a database keeps."""
WAIT_S_MAX = 86_400.0


def whole(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        try:
            number = int(text.replace("_", "?"))
        except ValueError:
            number = low - 1
        if not low <= number <= high:
            raise ArgumentTypeError(f"{short(text)} is no whole number from {low:,} to {high:,}")
        return number

    return read


def amount(low: float, high: float) -> Callable[[str], float]:
    """Take a number from `low` to `high`, which are finite."""

    def read(text: str) -> float:
        try:
            number = float(text.replace("_", "?"))
        except ValueError:
            number = math.nan
        if not low <= number <= high:
            raise ArgumentTypeError(f"{short(text)} is no number from {low:,g} to {high:,g}")
        return number

    return read


def address(text: str) -> str:
    """Take an address over HTTP: scheme, host and port, nothing behind."""
    try:
        parts = urlsplit(text.rstrip("/"))
        plain = f"{parts.scheme}://{parts.netloc}" == text.rstrip("/") and text.isprintable()
        right = plain and parts.scheme in {"http", "https"} and bool(parts.hostname)
        right = right and parts.port != 0 and " " not in text and "@" not in text
    except ValueError:
        right = False
    if not right:
        raise ArgumentTypeError(f"{short(text)} is no address: write it as http://127.0.0.1:8611")
    return text.rstrip("/")


def short(text: str) -> str:
    """Return what was typed as a sentence may repeat it."""
    return repr(text if len(text) <= 60 else f"{text[:60]}…")
