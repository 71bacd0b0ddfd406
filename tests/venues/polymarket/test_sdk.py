"""The official SDK is behind one file, and chatty libraries are told to be quiet."""

from __future__ import annotations

import ast
import logging
from pathlib import Path

from engine.venues.polymarket import sdk
from tests.fakes.polymarket.server import Served
from tests.venues.polymarket.adapter import adapter

ROOM = Path(sdk.__file__).parent
NEVER = {"place_limit_order", "place_market_order", "AsyncSecureClient.create", "_ensure_wallet"}


def test_one_file_touches_the_sdk() -> None:
    users = set()
    for file in ROOM.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            if any(name.partition(".")[0] == "polymarket" for name in names):
                users.add(file.name)
    assert users == {"sdk.py"}


def test_nothing_that_may_send_a_transaction_is_called() -> None:
    called = {
        ast.unparse(node.func)
        for node in ast.walk(ast.parse(Path(sdk.__file__).read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    }
    assert not [name for name in called for never in NEVER if name.endswith(never)]


async def test_libraries_that_log_headers_are_quiet_once_an_account_is_open(served: Served) -> None:
    for name in sdk.CHATTY:
        logging.getLogger(name).setLevel(logging.DEBUG)
    async with adapter(served):
        for name in sdk.CHATTY:
            assert not logging.getLogger(name).isEnabledFor(logging.INFO)


async def test_nothing_is_asked_of_the_relayer_or_the_chain(served: Served) -> None:
    async with adapter(served, kind=3) as (venue, _):
        await venue.balances()
    asked = {str(row["path"]) for row in served.venue.journal}
    assert not [path for path in asked if "deployed" in path or "submit" in path or path == "/"]
    assert "/auth/derive-api-key" in asked
