"""Listings page by page: whole or not at all.

A cursor that repeats, or more pages than any account can have, is an error: never a short list.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from engine.domain.orders import Identity
from engine.domain.telemetry import Approval
from engine.errors import BadInput
from engine.venues.polymarket.account import outcomes
from engine.venues.polymarket.account.outcomes import VenueRefusal
from engine.venues.polymarket.account.sdk import Wire

T = TypeVar("T")

SCORING_MAX = 100
"""Orders of one question about scoring."""

PAGES_MAX = 500
CLOB_END = "LTE="
"""The last page's next cursor: base64 of -1."""


async def clob_rows(wire: Wire, path: str, **params: str | int) -> list[Any]:
    """Return every row of a CLOB listing, each id once. Raises what the wire raises, BadInput."""
    rows: list[Any] = []
    seen: set[str] = set()
    cursor = ""
    for _ in range(PAGES_MAX):
        query = params | ({"next_cursor": cursor} if cursor else {})
        page = await wire.get(path, **query)
        if not isinstance(page, Mapping):
            raise BadInput(f"{path} answered no page")
        found, following = page.get("data"), page.get("next_cursor")
        if not isinstance(found, list) or not isinstance(following, str):
            raise BadInput(f"{path} answered a page without rows or cursor")
        cursor = following
        rows += found
        if cursor == CLOB_END:
            return _once(rows)
        if not cursor or cursor in seen:
            raise BadInput(f"{path} has a page that leads nowhere")
        seen.add(cursor)
    raise BadInput(f"{path} has more than {PAGES_MAX} pages")


async def data_rows(wire: Wire, path: str, **params: str | int) -> list[object]:
    """Return every row of a Data API listing. Raises what the wire raises, BadInput."""
    rows: list[object] = []
    cursor = ""
    for _ in range(PAGES_MAX):
        query = params | ({"cursor": cursor} if cursor else {})
        page = await wire.get_data(path, **query)
        found = page.get("data") if isinstance(page, Mapping) else None
        pagination = page.get("pagination") if isinstance(page, Mapping) else None
        if not isinstance(found, list) or not isinstance(pagination, Mapping):
            raise BadInput(f"{path} answered a page without rows or pagination")
        rows += found
        if pagination.get("has_more") is False:
            return rows
        more, following = pagination.get("has_more"), pagination.get("next_cursor")
        if more is not True or not isinstance(following, str) or following in {"", cursor}:
            raise BadInput(f"{path} has a page that leads nowhere")
        cursor = following
    raise BadInput(f"{path} has more than {PAGES_MAX} pages")


async def answered(call: Awaitable[T]) -> T:
    """Return the answer to a question; a refusal of it raises what that means (`outcomes`)."""
    try:
        return await call
    except VenueRefusal as refusal:
        outcomes.question_refused(refusal)


async def scoring_of(wire: Wire, names: Sequence[Identity]) -> dict[Identity, bool]:
    """Return of each order whether it earns rewards at this moment, by the venue's own word.

    Raises what the wire raises, BadInput.
    """
    found: dict[Identity, bool] = {}
    for start in range(0, len(names), SCORING_MAX):
        part = names[start : start + SCORING_MAX]
        reply = await answered(wire.post("/orders-scoring", msgspec.json.encode(part)))
        if not isinstance(reply, Mapping) or any(not isinstance(reply.get(n), bool) for n in part):
            raise BadInput("/orders-scoring says of an order neither yes nor no")
        found |= {name: reply[name] for name in part}
    return found


async def approvals_of(wire: Wire) -> tuple[Approval, ...]:
    """Return what a wallet lets the venue's trading contracts take, by the chain's index.

    Raises what the wire raises, BadInput. Contracts of other products are left out.
    """
    body = await answered(wire.get_data("/v2/approvals", user=wire.wallet))
    data = body.get("data") if isinstance(body, Mapping) else None
    rows = data.get("contracts") if isinstance(data, Mapping) else None
    if not isinstance(data, Mapping) or not isinstance(rows, list):
        raise BadInput("/v2/approvals answered no contracts")
    if str(data.get("address")).lower() != wire.wallet.lower():
        raise BadInput("/v2/approvals answered about another wallet")
    found = []
    for row in rows:
        if not isinstance(row, Mapping) or not isinstance(row.get("approved"), bool):
            raise BadInput("/v2/approvals has a row that says neither yes nor no")
        asset = wire.contracts.get(str(row.get("token")).lower())
        contract = wire.contracts.get(address := str(row.get("spender")).lower())
        if asset and contract:
            found.append(
                Approval(asset=asset, contract=contract, address=address, approved=row["approved"])
            )
    if not found:
        raise BadInput("/v2/approvals names no contract of trading")
    return tuple(found)


def _once(rows: list[object]) -> list[object]:
    """Drop repeated rows: orders move between pages while they are read. The last one counts."""
    by_id = {
        str(row["id"]) if isinstance(row, Mapping) and row.get("id") else id(row): row
        for row in rows
    }
    return list(by_id.values())
