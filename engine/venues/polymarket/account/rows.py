"""The venue's rows → events: open orders, trades, balances, positions. Pure.

Shapes and quirks: reference of the trading API, §3.2, §3.6 and Appendix B. What cannot be read is
BadInput: a listing is whole or it is nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

import msgspec

from engine.domain.events import (
    CashKind,
    CashMoved,
    OrderFilled,
    OrderReport,
    PairsConverted,
    TokensRedeemed,
)
from engine.domain.fills import FillId, FillState, Liquidity
from engine.domain.instruments import AccountId, InstrumentId, Leg, Side
from engine.domain.orders import Identity, OrderState
from engine.errors import BadInput
from engine.venues.polymarket.account.orders import AccountMemory, instrument_of

PRICE_DECIMALS = 4
SIZE_DECIMALS = 6
DUST = 10_000
"""0.01 share: how far the venue's own sums drift apart (trading API, §7)."""
_ONE, _WHOLE = Decimal(1), Context(prec=19, rounding=ROUND_HALF_EVEN)
"""Whole numbers of 64 bits: a longer one is no amount and no time, and nothing could keep it."""
SdkRow = Mapping[str, Any]

_FILL_STATES = {
    "MATCHED": FillState.MATCHED,
    "MATCHED_NOT_BROADCASTED": FillState.MATCHED,
    "MINED": FillState.MINED,
    "CONFIRMED": FillState.CONFIRMED,
    "RETRYING": FillState.RETRYING,
    "FAILED": FillState.FAILED,
}


class RowReader(msgspec.Struct, frozen=True, kw_only=True):
    """Whose rows are read, and with what is known."""

    account: AccountId
    key: str
    """Our API key: an order it owns is ours even where the journal lost it."""
    memory: AccountMemory

    def __repr__(self) -> str:
        return f"Reader(account={self.account}, <hidden>)"


def number(value: object, decimals: int, what: str) -> int:
    """Return a decimal of the venue in units of 10^−decimals; "" and null are 0."""
    if value is None or value == "":
        return 0
    try:
        return int(_WHOLE.quantize(Decimal(str(value)).scaleb(decimals), _ONE))
    except (ArithmeticError, ValueError):
        raise BadInput(f"{what} {str(value)[:40]!r} is not a number") from None


def status_of(row: SdkRow) -> str:
    """Return a status without its prefix, in capitals."""
    text = _text(row, "status").upper()
    return text.removeprefix("ORDER_STATUS_").removeprefix("TRADE_STATUS_")


# -- orders ----------------------------------------------------------------------------------------


def order_report(row: object, reader: RowReader) -> OrderReport:
    """Return what a row of /data/orders says. Raises BadInput."""
    fields = _fields(row)
    identity = Identity(_text(fields, "id").lower())
    known = reader.memory.known(identity)
    _needed(fields, "id", *["owner"] * (known is None))
    instrument, leg = _place(fields, reader.memory)
    filled = _size(fields, "size_matched")
    return OrderReport(
        identity=identity,
        order=known.order if known is not None else None,
        ours=known is not None or _text(fields, "owner") == reader.key,
        instrument=instrument,
        leg=leg,
        side=_side(fields),
        price=number(fields.get("price"), PRICE_DECIMALS, "price"),
        size=_size(fields, "original_size"),
        filled=filled,
        state=_order_state(fields, filled),
    )


def _order_state(row: SdkRow, filled: int) -> OrderState:
    status = status_of(row)
    if status in {"LIVE", "UNMATCHED"}:
        return OrderState.PARTIAL if filled else OrderState.OPEN
    if status == "DELAYED":
        return OrderState.DELAYED
    if status == "MATCHED":
        return OrderState.CANCELLED if killed_rest(row) else OrderState.FILLED
    # CANCELED_MARKET_RESOLVED and its kind; INVALID is how a moved tick ends an order.
    if status.startswith("CANCEL") or status == "INVALID":
        return OrderState.CANCELLED
    raise BadInput(f"an order's status {status[:40]!r} is not known")


def killed_rest(row: SdkRow) -> bool:
    """Say whether a match ended an order short of its size; nobody must wait for more fills.

    The rest of a FAK is dead, and cents of a share get lost in the venue's rounding.
    """
    left = _size(row, "original_size") - _size(row, "size_matched")
    return left > 0 and (left <= DUST or _text(row, "order_type").upper() in {"FAK", "FOK"})


# -- fills -----------------------------------------------------------------------------------------


def trade_fills(row: object, reader: RowReader) -> Iterator[OrderFilled]:
    """Give our fills in a row of /data/trades: as maker by our order's id alone, and as taker.

    The row's own side, price and token are the taker's; a maker's stand in `maker_orders`, and the
    token may be the other one. A fill's name is (trade, order of ours). Raises BadInput.
    """
    fields = _fields(row)
    trade, status = _text(fields, "id"), status_of(fields)
    state = _FILL_STATES.get(status)
    if not trade or state is None:
        raise BadInput(f"trade {trade[:40]!r} has the status {status[:40]!r}, which is not known")
    makers = fields.get("maker_orders") or []
    if not isinstance(makers, list):
        raise BadInput(f"trade {trade[:40]}: maker_orders is not a list")
    sides = [(maker, "order_id", "matched_amount") for maker in map(_fields, makers)]
    for part, name, amount in (*sides, (fields, "taker_order_id", "size")):
        known = reader.memory.known(_text(part, name))
        if known is None:
            continue
        found = reader.memory.token(_text(part, "asset_id"))
        if found is None:
            where = _text(part, "market")[:80]
            raise BadInput(f"a fill of ours is in a market nobody listed: {where}")
        size = number(part.get(amount), SIZE_DECIMALS, "size")
        # The venue's price of a taker that met several levels may be an average.
        price = number(part.get("price"), PRICE_DECIMALS, "price")
        took, instrument = part is fields, found[0].instrument
        if size <= 0 or not 0 < price < instrument.one:
            raise BadInput(f"trade {trade[:40]} has no size or no price")
        fee = instrument.taker_fee_micro if took else instrument.maker_fee_micro
        yield OrderFilled(
            account=reader.account,
            order=known.order,
            fill=FillId(f"{trade}:{_text(part, name).lower()}"),
            price=price,
            size=size,
            fee_micro=fee(price, size),
            liquidity=Liquidity.TAKER if took else Liquidity.MAKER,
            state=state,
            transaction=_text(fields, "transaction_hash") or msgspec.UNSET,
        )


_SIGNS = {"REDEEM": 0, "SPLIT": 1, "MERGE": -1}
"""What became of the wallet's pairs, by the index's word: how many more of them there are."""

# -- money -----------------------------------------------------------------------------------------


def balance_micro(body: object) -> int:
    """Return a balance in base units. Raises BadInput: a missing one is not zero."""
    value = _fields(body).get("balance")
    if value is None or value == "":
        raise BadInput("the venue's answer about the balance holds none")
    return number(value, 0, "balance")


def holding(row: object, memory: AccountMemory) -> tuple[InstrumentId, Leg, int] | None:
    """Return (instrument, leg, size) of a row of /v2/positions; None = nothing is held.

    None too for a token of a market nobody listed whose outcome the venue does not number (999):
    it cannot be traded by Pitboss, so it is in nobody's way.
    """
    fields = _fields(row)
    _needed(fields, "current_size")
    size = _size(fields, "current_size")
    if size <= 0:
        return None
    found = memory.token(_text(fields, "token_id"))
    if found is not None:
        return found[0].instrument.id, found[1], size
    index = fields.get("outcome_index")
    if index not in (0, 1):
        return None
    leg = Leg.YES if index == 0 else Leg.NO
    return instrument_of(_text(fields, "condition_id")), leg, size


def payments(
    rows: Sequence[object], account: AccountId, since_ns: int
) -> tuple[tuple[TokensRedeemed, ...], tuple[PairsConverted, ...]]:
    """Return the redemptions, and the splits and merges, of rows of /v2/activity, oldest first.

    One per market and transaction. Of a redemption the index tells the money and not the tokens. A
    combo's is nothing Pitboss trades; what is older than `since_ns` was not asked for.
    """
    paid: dict[tuple[str, str], TokensRedeemed] = {}
    pairs: dict[tuple[str, str], PairsConverted] = {}
    for row in rows:
        fields = _fields(row)
        kind = _text(fields, "type")
        if kind not in _SIGNS:
            raise BadInput(f"asked what the wallet's pairs became, the venue reports {kind}")
        _needed(fields, "timestamp", "transaction_hash", "condition_id", "usdc_size")
        at_ns = number(fields.get("timestamp"), 9, "timestamp")
        if fields.get("is_combo") or at_ns < since_ns:
            continue
        name = _text(fields, "transaction_hash"), _text(fields, "condition_id")
        amount = number(fields.get("usdc_size"), 6, "usdc_size")
        if sign := _SIGNS[kind]:
            # A pair costs one and brings one: without a size the money counts them.
            size = sign * (_size(fields, "size") or amount)
            if name in pairs:
                size, amount = size + pairs[name].size, amount + pairs[name].amount_micro
            pairs[name] = PairsConverted(
                account=account, transaction=name[0], instrument=instrument_of(name[1]),
                size=size, amount_micro=amount, at_ns=at_ns,
            )  # fmt: skip
            continue
        amount += paid[name].amount_micro if name in paid else 0
        paid[name] = TokensRedeemed(
            account=account, transaction=name[0], instrument=instrument_of(name[1]),
            amount_micro=amount, at_ns=at_ns,
        )  # fmt: skip
    return (
        tuple(sorted(paid.values(), key=lambda one: (one.at_ns, one.transaction))),
        tuple(sorted(pairs.values(), key=lambda one: (one.at_ns, one.transaction))),
    )


INCOME = {
    "REWARD": CashKind.REWARD,
    "YIELD": CashKind.REWARD,
    "REFERRAL_REWARD": CashKind.REWARD,
    "MAKER_REBATE": CashKind.REBATE,
    "TAKER_REBATE": CashKind.REBATE,
}
"""Kinds of activity that are income (trading API, §3.6): paid by the day, for no fill."""


def incomes(rows: Sequence[object], account: AccountId, currency: str) -> tuple[CashMoved, ...]:
    """Return the rewards and rebates of rows of /v2/activity, oldest first.

    A row has no name of its own: it is named by all that tells it apart from others of its
    transaction, so that one that is listed later than they are is still another payment. The client
    knows no market in such rows; one that stands there is kept.
    """
    found: list[CashMoved] = []
    alike: Counter[str] = Counter()
    for row in rows:
        fields = _fields(row)
        kind, transaction = _text(fields, "type"), _text(fields, "transaction_hash")
        if kind not in INCOME or not transaction:
            raise BadInput(f"asked for rewards, the venue reports {kind[:40]!r} {transaction[:80]}")
        amount, market = (
            number(fields.get("usdc_size"), 6, "usdc_size"),
            _text(fields, "condition_id"),
        )
        name = " ".join(filter(None, (kind, transaction, market, str(amount))))
        alike[name] += 1
        found.append(
            CashMoved(
                account=account,
                currency=currency,
                amount_micro=amount,
                kind=INCOME[kind],
                payment=name if alike[name] == 1 else f"{name} #{alike[name]}",
                paid_ns=number(fields.get("timestamp"), 9, "timestamp"),
                instrument=instrument_of(market) if market else None,
            )
        )
    paid = [one for one in found if one.amount_micro > 0]
    return tuple(sorted(paid, key=lambda one: (one.paid_ns, one.payment)))


# -- inside ----------------------------------------------------------------------------------------


def _place(row: SdkRow, memory: AccountMemory) -> tuple[InstrumentId, Leg]:
    found = memory.token(_text(row, "asset_id"))
    if found is not None:
        return found[0].instrument.id, found[1]
    # A market nobody listed with us: the label decides, as everywhere at this venue.
    no = _text(row, "outcome").strip().lower() in {"no", "down"}
    return instrument_of(_text(row, "market")), Leg.NO if no else Leg.YES


def _size(row: SdkRow, name: str) -> int:
    return number(row.get(name), SIZE_DECIMALS, name)


def _side(row: SdkRow) -> Side:
    try:
        return Side(_text(row, "side").lower())
    except ValueError:
        raise BadInput(f"an order's side {_text(row, 'side')[:40]!r} is not known") from None


def _fields(row: object) -> SdkRow:
    if not isinstance(row, Mapping):
        raise BadInput("a row of the venue is not an object")
    return row


def _needed(row: SdkRow, *names: str) -> None:
    """Raise BadInput where a row lacks something that must not be taken for nothing."""
    lacking = [name for name in names if not _text(row, name)]
    if lacking:
        raise BadInput(f"a row of the venue lacks its {lacking[0]}")


def _text(row: SdkRow, name: str) -> str:
    value = row.get(name)
    return value if isinstance(value, str) else "" if value is None else str(value)
