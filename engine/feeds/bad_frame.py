"""What a frame that cannot be believed is called while it is counted."""

from __future__ import annotations

import msgspec

from engine.errors import BadInput

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What a decoder raises for bytes that are no JSON, no UTF-8, or nested without end."""


class BadFrame(BadInput):
    """A frame is unreadable or impossible. `kind` groups it among the anomalies."""

    def __init__(self, kind: str, text: str = "") -> None:
        super().__init__(f"{kind}: {text}" if text else kind)
        self.kind = kind
