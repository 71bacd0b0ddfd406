"""The user channel's frames → events of our orders and fills. Pure and tolerant.

Fills come from trade frames alone: as maker only by the id of an order of ours in `maker_orders`.
Order frames tell how an order lives and ends. Shapes and quirks: trading API, §4.3, and the frames
others recorded. What cannot be read is named, never guessed: whoever listens must then ask.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from engine.domain.events import (
    FillAdvanced,
    FillSettled,
    FillVoided,
    OrderAccepted,
    OrderCancelled,
    OrderDelayed,
    OrderExpired,
    OrderFilled,
    OrderReported,
    VenueEvent,
)
from engine.domain.fills import FillId, FillState
from engine.domain.orders import CancelReason, OrderId, OrderState, OrderType
from engine.errors import BadInput
from engine.venues.polymarket.account.rows import (
    SIZE_DECIMALS,
    RowReader,
    SdkRow,
    number,
    order_report,
    status_of,
    trade_fills,
)

TOLD_MAX = 50_000
"""Fills whose last told status is remembered; a forgotten one is told from its beginning."""
TEXT_MAX = 200

_REASONS = (
    ("MARKET_RESOLVED", CancelReason.MARKET_RESOLVED),
    ("MARKET_NOT_FOUND", CancelReason.MARKET_CLOSED),
    ("NOT_ENOUGH_BALANCE", CancelReason.NO_FUNDS),
    ("FULLY FILLED OR KILLED", CancelReason.KILLED_REST),
    ("FILLED OR KILLED", CancelReason.KILLED_REST),
)
"""What stands behind `CANCELED_`, in capitals → our word."""
_TIMED_OUT = ("EXPIRED_ORDER", "ORDER_TIMED_OUT")
_AT_ONCE = {OrderType.FAK.value.upper(), OrderType.FOK.value.upper()}


class UserFrame(msgspec.Struct, frozen=True, kw_only=True):
    """What one text frame said. `unread` names what could not be read; empty = all of it was."""

    events: tuple[VenueEvent, ...] = ()
    unread: str = ""


class UserFrames:
    """Reads one account's user channel; remembers what was told of each fill."""

    def __init__(self, reader: RowReader) -> None:
        self._reader = reader
        self._told: dict[FillId, FillState] = {}

    def read(self, text: str | bytes) -> UserFrame:
        """Return what a frame says. Bare words (`PONG`, `INVALID OPERATION`) say nothing."""
        raw = text.encode() if isinstance(text, str) else text
        if raw.lstrip()[:1] not in {b"{", b"["}:
            return UserFrame()
        try:
            said = msgspec.json.decode(raw)
        except msgspec.DecodeError as error:
            return UserFrame(unread=f"a frame of {len(raw)} bytes is no JSON: {error}")
        events: list[VenueEvent] = []
        unread = ""
        for frame in said if isinstance(said, list) else [said]:
            try:
                events += self._frame(frame)
            except BadInput as error:
                # One torn row must not cost its neighbours their fills.
                unread = unread or str(error)[:TEXT_MAX]
        return UserFrame(events=tuple(events), unread=unread)

    def _frame(self, frame: object) -> Iterator[VenueEvent]:
        if not isinstance(frame, Mapping):
            raise BadInput("a frame of the user channel is not an object")
        kind = _kind(frame)
        if kind == "order":
            return self._order(frame)
        return self._trade(frame) if kind == "trade" else iter(())

    # -- orders ------------------------------------------------------------------------------------

    def _order(self, frame: SdkRow) -> Iterator[VenueEvent]:
        known = self._reader.memory.known(str(frame.get("id") or ""))
        if known is None:
            return  # another program's; were it ours and lost, the listing of open orders says so
        account, order = self._reader.account, known.order
        status = status_of(frame)
        what = str(frame.get("type") or "").upper()
        if what == "CANCELLATION" or status.startswith("CANCEL") or status == "INVALID":
            yield self._over(frame, order, status)
        elif status == "DELAYED":
            yield OrderDelayed(account=account, order=order)
        elif status == "MATCHED" and _killed_rest(frame):
            yield self._report(frame, OrderState.CANCELLED)
        elif status in {"LIVE", "UNMATCHED", "MATCHED"}:
            # An UPDATE tells of a match: its trade frame is the proof, and the source of the fill.
            if what != "UPDATE":
                yield OrderAccepted(account=account, order=order)
        else:
            raise BadInput(f"an order's status {status[:40]!r} is not known")

    def _over(self, frame: SdkRow, order: OrderId, status: str) -> VenueEvent:
        """Return the end of an order.

        Where a part was filled it is a report with the amount: the executor lets the order go only
        when it has booked so much (law G).
        """
        account = self._reader.account
        if number(frame.get("size_matched"), SIZE_DECIMALS, "size_matched"):
            return self._report(frame, OrderState.CANCELLED)
        if status.endswith(_TIMED_OUT):
            return OrderExpired(account=account, order=order)
        _, _, tail = status.partition("_")
        reason = next((reason for piece, reason in _REASONS if piece in tail), None)
        if reason is None:
            reason = CancelReason.VENUE if tail else CancelReason.ASKED
        if status == "INVALID":
            reason = CancelReason.TICK_CHANGED
        text = str(frame.get("status") or "")[:TEXT_MAX] if tail else ""
        return OrderCancelled(account=account, order=order, reason=reason, venue_text=text)

    def _report(self, frame: SdkRow, state: OrderState) -> OrderReported:
        # The state is set here: the row's own words for it were read already.
        report = order_report({**frame, "status": "CANCELED"}, self._reader)
        report = msgspec.structs.replace(report, state=state)
        return OrderReported(account=self._reader.account, report=report)

    # -- fills -------------------------------------------------------------------------------------

    def _trade(self, frame: SdkRow) -> Iterator[VenueEvent]:
        # Read whole before anything is told: a fill of ours in a torn row would be half a truth.
        for fill in list(trade_fills(frame, self._reader)):
            yield from self._fill(fill)

    def _fill(self, fill: OrderFilled) -> Iterator[VenueEvent]:
        account, name, state = fill.account, fill.fill, fill.state
        last = self._told.pop(name, None)
        self._told[name] = state if state is not FillState.MATCHED or last is None else last
        if len(self._told) > TOLD_MAX:
            del self._told[next(iter(self._told))]
        if last is None:
            # What came before is told too: to who has booked it, it is no news.
            yield msgspec.structs.replace(fill, state=FillState.MATCHED)
        if state is last or state is FillState.MATCHED:
            return
        if state is FillState.CONFIRMED:
            yield FillSettled(account=account, fill=name, transaction=fill.transaction)
        elif state is FillState.FAILED:
            yield FillVoided(account=account, fill=name)
        else:
            yield FillAdvanced(
                account=account, fill=name, state=state, transaction=fill.transaction
            )


def _kind(frame: Mapping[Any, Any]) -> str:
    """Return `order`, `trade` or another name; frames of both kinds came without their name."""
    named = str(frame.get("event_type") or "").lower()
    if named:
        return named
    if "taker_order_id" in frame:
        return "trade"
    return "order" if "original_size" in frame else "unknown"


def _killed_rest(frame: SdkRow) -> bool:
    """Say whether a match ended an order short of its size: a FAK's rest, or cents of a share."""
    size = number(frame.get("original_size"), SIZE_DECIMALS, "original_size")
    left = size - number(frame.get("size_matched"), SIZE_DECIMALS, "size_matched")
    at_once = str(frame.get("order_type") or "").upper() in _AT_ONCE
    return left > 0 and (at_once or left <= 10_000)
