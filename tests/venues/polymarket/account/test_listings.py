"""A listing is whole or it is an error; what the venue garbles is never a short list."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.domain.orders import Identity
from engine.errors import BadInput, OutcomeUnknown
from engine.venues.polymarket.account.listings import CLOB_END, approvals_of, scoring_of
from tests.fakes.polymarket.contracts import PUSD, STANDARD_EXCHANGE
from tests.fakes.polymarket.server import Served
from tests.venues.polymarket.adapter import adapter
from tests.venues.polymarket.kit import signer, wallet

WALLET = wallet(signer(1), 0)

GARBLED: dict[str, Any] = {
    "no page": [],
    "null": None,
    "no rows": {"next_cursor": CLOB_END},
    "rows that are no list": {"data": {}, "next_cursor": CLOB_END},
    "no cursor": {"data": []},
    "an empty cursor": {"data": [], "next_cursor": ""},
    "a cursor that leads back": {"data": [], "next_cursor": "MTAw"},
}


@pytest.mark.parametrize("case", GARBLED)
async def test_garbled_page_is_no_listing(served: Served, case: str) -> None:
    body = json.dumps(GARBLED[case])
    async with adapter(served) as (venue, _):
        for path in ("/data/orders", "/data/trades"):
            await served.control("faults", kind="garble", path=path, args={"body": body})
        with pytest.raises(BadInput):
            await venue.open_orders()
        with pytest.raises(BadInput):
            await venue.fills(0)


@pytest.mark.parametrize("row", ["x", {"id": "0x1"}, None, {"id": "0x1", "status": "ASLEEP"}])
async def test_a_garbled_row_is_named_and_hides_no_other(served: Served, row: object) -> None:
    body = json.dumps({"data": [row], "next_cursor": CLOB_END})
    async with adapter(served) as (venue, _):
        for path in ("/data/orders", "/data/trades"):
            await served.control("faults", kind="garble", path=path, args={"body": body})
        (open_,) = (await venue.open_orders()).unread or ()
        (fill,) = (await venue.fills(0)).unread or ()
    # An order that nobody's is shown to be may be ours; a trade without an order of ours is not.
    assert (open_.ours, fill.ours) == (True, False)


async def test_page_that_is_no_json_is_unknown(served: Served) -> None:
    async with adapter(served) as (venue, _):
        await served.control("faults", kind="garble", args={"body": "<html>"})
        for ask in (venue.open_orders, venue.balances, venue.positions):
            with pytest.raises(OutcomeUnknown):
                await ask()


DATA_GARBLED: dict[str, Any] = {
    "no page": [],
    "no pagination": {"data": []},
    "no rows": {"pagination": {"has_more": False}},
    "a pagination that does not say whether there is more": {
        "data": [],
        "pagination": {"next_cursor": None},
    },
    "more without a cursor": {"data": [], "pagination": {"has_more": True, "next_cursor": None}},
    "a cursor that leads back": {"data": [], "pagination": {"has_more": True, "next_cursor": "a"}},
}


@pytest.mark.parametrize("case", DATA_GARBLED)
async def test_garbled_positions_are_no_holdings(served: Served, case: str) -> None:
    body = json.dumps(DATA_GARBLED[case])
    async with adapter(served) as (venue, _):
        await served.control("faults", kind="garble", path="/v2/positions", args={"body": body})
        with pytest.raises(BadInput):
            await venue.positions()


APPROVED = {"token": PUSD, "spender": STANDARD_EXCHANGE, "standard": "ERC20", "approved": True}
NO_APPROVALS: dict[str, Any] = {
    "no page": [],
    "no contracts": {"data": {"address": WALLET}},
    "another wallet": {"data": {"address": "0x1", "contracts": [APPROVED]}},
    "neither yes nor no": {"data": {"address": WALLET, "contracts": [APPROVED | {"approved": 1}]}},
    "no contract of trading": {
        "data": {"address": WALLET, "contracts": [APPROVED | {"spender": "0x1"}]}
    },
}


@pytest.mark.parametrize("case", NO_APPROVALS)
async def test_garbled_approvals_are_neither_given_nor_missing(served: Served, case: str) -> None:
    body = json.dumps(NO_APPROVALS[case])
    async with adapter(served) as (venue, _):
        await served.control("faults", kind="garble", path="/v2/approvals", args={"body": body})
        with pytest.raises(BadInput):
            await approvals_of(venue.wire)


async def test_each_trading_contract_is_approved_or_not(served: Served) -> None:
    async with adapter(served) as (venue, _):
        for amount, approved in ((None, True), (0, False)):
            if amount is not None:
                served.venue.ledger.allowances[WALLET] = amount
            found = await approvals_of(venue.wire)
            assert {one.approved for one in found} == {approved}
            pairs = {(one.asset, one.contract) for one in found}
            assert len(pairs) == len(found) == 16  # the SDK's list without that of another product
            assert {("pUSD", "exchange"), ("outcome tokens", "automatic redemption")} < pairs


@pytest.mark.parametrize("body", ["[]", "{}", '{"0x1": 1}', "null"])
async def test_an_order_of_which_nothing_is_said_does_not_count_as_not_scoring(
    served: Served, body: str
) -> None:
    async with adapter(served) as (venue, _):
        await served.control("faults", kind="garble", path="/orders-scoring", args={"body": body})
        with pytest.raises(BadInput):
            await scoring_of(venue.wire, [Identity("0x1")])
        assert await scoring_of(venue.wire, []) == {}
