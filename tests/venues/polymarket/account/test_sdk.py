"""The official SDK is behind one file, and chatty libraries are told to be quiet."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import logging
import ssl
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from engine.venues.polymarket.account import sdk
from tests.fakes.polymarket.server import Served
from tests.venues.polymarket.adapter import adapter, credentials, urls_of

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


async def test_accounts_opening_at_once_leave_the_clients_of_others_alone(served: Served) -> None:
    own = httpx._transports.default.create_ssl_context
    async with contextlib.AsyncExitStack() as stack:
        both = (stack.enter_async_context(adapter(served, number=n)) for n in (1, 2))
        await asyncio.gather(*both)
        assert httpx._transports.default.create_ssl_context is own
        unsure = httpx.AsyncHTTPTransport(verify=False)
        assert unsure._pool._ssl_context.verify_mode is ssl.CERT_NONE
    assert httpx._transports.default.create_ssl_context is own


async def test_other_clients_keep_their_tls_while_an_account_opens(served: Served) -> None:
    opening = asyncio.create_task(
        sdk.Wire.open(credentials(1), now_ns=time.time_ns, urls=urls_of(served))
    )
    while not opening.done():
        strange = httpx.AsyncHTTPTransport(verify=False)
        assert strange._pool._ssl_context.verify_mode is ssl.CERT_NONE
        await asyncio.sleep(0)
    await (await opening).close()


async def test_all_connections_of_accounts_trust_one_context(served: Served) -> None:
    async with adapter(served) as (one, _), adapter(served, number=2) as (two, _):
        wires = [one.wire, two.wire]
        contexts = {
            id(lane.session.connector._ssl)
            for wire in wires
            for lane in (wire._places, wire._safety, wire._data)
        }
        assert len(contexts) == 1
        clients = {id(lane.session) for wire in wires for lane in (wire._places, wire._safety)}
        assert len(clients) == 4


async def test_closed_account_leaves_no_client_open(served: Served) -> None:
    async with adapter(served) as (venue, _):
        wire = venue.wire
    assert all(lane.session.closed for lane in (wire._places, wire._safety, wire._data))


@pytest.mark.long
def test_import_of_the_sdk_hides_no_library_from_others() -> None:
    code = (
        "import sys; import engine.venues.polymarket.account.sdk; "
        "assert 'sniffio' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOM.parents[3])


@pytest.mark.long
def test_only_a_live_account_loads_what_signs() -> None:
    code = (
        "import sys; "
        "from engine.cli import command, kill, recover, run, up, worker; "
        "loaded = {'polymarket', 'eth_account', 'coincurve'} & set(sys.modules); "
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOM.parents[3])
