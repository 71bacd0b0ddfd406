"""Plain data: what JSON decodes to, and what is written as JSON; keys are names.

Whoever knows the fields of such an object gives it a type of its own instead: a struct.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PlainDict = dict[str, Any]
"""One that its holder may change."""

PlainView = Mapping[str, Any]
"""One that is only read."""
