"""Which venue's listing can be asked for: one there is, with an account here."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from engine.errors import BadInput
from engine.live.commands.markets import MarketCommands


def test_other_venues_are_refused_in_words() -> None:
    engine: Any = SimpleNamespace(settings=SimpleNamespace(document=SimpleNamespace(accounts={})))
    markets = MarketCommands(engine)
    with pytest.raises(BadInput, match="cannot be asked for: those are demo, polymarket"):
        markets.sync("okx", lambda *_: None)
    with pytest.raises(BadInput, match="no account at Demo exchange"):
        markets.sync("demo", lambda *_: None)
