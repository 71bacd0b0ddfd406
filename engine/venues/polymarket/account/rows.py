"""The venue's rows → events: open orders, trades, balances, positions. Pure.

Shapes and quirks: reference of the trading API, §3.2, §3.6 and Appendix B. A page that is no page
is BadInput. Its rows are judged one by one: one that cannot be read is an `UnreadRow` with its id
and whether it is ours, and hides no other.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from engine.domain.events import CashKind, CashMoved, OrderFilled, PairsConverted, TokensRedeemed
from engine.domain.fills import FillId, FillState, Liquidity
from engine.domain.instruments import AccountId, Instrument, InstrumentId, Leg, Side
from engine.domain.orders import Identity, OrderId, OrderReport, OrderState
from engine.domain.readings import plain_text, shown, stamp_ns, whole_units
from engine.domain.unread import UnreadRow
from engine.errors import BadInput
from engine.venues.polymarket.account.orders import AccountMemory, instrument_of

PRICE_DECIMALS = 4
SIZE_DECIMALS = 6
DUST = 10_000
"""0.01 share: how far the venue's own sums drift apart (trading API, §7)."""
UNITS_MAX = 10**15
"""A billion shares or pUSD in millionths: more is no amount of this venue."""
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
    """Return a decimal of the venue in units of 10^−decimals; "" and null are 0. Raises BadInput.

    Up to `UNITS_MAX`, never negative.
    """
    if value is None or value == "":
        return 0
    return whole_units(value, decimals, what, most=UNITS_MAX)


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


def order_reports(
    rows: Sequence[object], reader: RowReader
) -> tuple[tuple[OrderReport, ...], tuple[UnreadRow, ...]]:
    """Return the reports of rows of /data/orders, and the rows that cannot be read.

    Of these each is ours that is not shown to be another key's: it may be an open order.
    """
    found: list[OrderReport] = []
    unread: list[UnreadRow] = []
    for row in rows:
        try:
            found.append(order_report(row, reader))
        except BadInput as error:
            fields: SdkRow = row if isinstance(row, Mapping) else {}
            owner = _text(fields, "owner")
            unread.append(
                _unread(row, error, reader, ours=_ours_in(row, reader) or owner in {"", reader.key})
            )
    return tuple(found), tuple(unread)


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
    """Say whether a match ended an order short of its size; no more fills follow.

    The rest of a FAK is dead, and cents of a share get lost in the venue's rounding.
    """
    left = _size(row, "original_size") - _size(row, "size_matched")
    return left > 0 and (left <= DUST or _text(row, "order_type").upper() in {"FAK", "FOK"})


# -- fills -----------------------------------------------------------------------------------------

_HASH = re.compile(r"0[xX][0-9a-fA-F]{64}")
"""How the venue writes an order's id."""


class _Part(NamedTuple):
    """An order's part in a trade: the fields that tell it, and where they stand."""

    fields: SdkRow
    name: str
    amount: str
    took: bool


def trade_fills(row: object, reader: RowReader) -> Iterator[OrderFilled]:
    """Give our fills in a row of /data/trades: as maker by our order's id alone, and as taker.

    The row's own side, price and token are the taker's; a maker's stand in `maker_orders`, and the
    token may be the other one. A fill's name is (trade, order of ours). A trade without a part of
    ours gives none, whatever it holds. Raises BadInput.
    """
    fields = _fields(row)
    for part in _parts(fields):
        known = reader.memory.known(_text(part.fields, part.name))
        if known is not None:
            yield _fill(fields, part, known.order, reader)


def _parts(row: SdkRow) -> list[_Part]:
    """Return the orders of a trade, its taker's last. Raises BadInput."""
    makers = row.get("maker_orders") or []
    if not isinstance(makers, list):
        raise BadInput(f"trade {_text(row, 'id')[:40]}: maker_orders is not a list")
    parts = [
        _Part(maker, "order_id", "matched_amount", took=False)
        for maker in makers
        if isinstance(maker, Mapping)
    ]
    return [*parts, _Part(row, "taker_order_id", "size", took=True)]


def _fill(row: SdkRow, part: _Part, order: OrderId, reader: RowReader) -> OrderFilled:
    trade, state = _text(row, "id"), trade_state(row)
    if not trade:
        raise BadInput("a trade of ours has no id")
    found = reader.memory.token(_text(part.fields, "asset_id"))
    if found is None:
        where = _text(row, "market")[:80]
        raise BadInput(f"a fill of ours is in a market nobody listed: {where}")
    instrument, leg = found[0].instrument, found[1]
    size = number(part.fields.get(part.amount), SIZE_DECIMALS, "size")
    if size <= 0:
        raise BadInput(f"trade {trade[:40]} has no size")
    makers = row.get("maker_orders")
    levels = _taken(makers, (instrument, leg), size, reader) if part.took and makers else ()
    if not levels:
        levels = ((_price(part.fields, instrument), size),)
    fee = instrument.taker_fee_micro if part.took else instrument.maker_fee_micro
    value = sum(price * amount for price, amount in levels)
    one_price = levels[0][0] if len({price for price, _ in levels}) == 1 else None
    buys = _text(part.fields, "side").lower() != Side.SELL
    worth = -(-value // instrument.value_divisor) if buys else value // instrument.value_divisor
    return OrderFilled(
        account=reader.account,
        order=order,
        fill=FillId(f"{trade}:{_text(part.fields, part.name).lower()}"),
        price=one_price or (value + size // 2) // size,
        size=size,
        fee_micro=sum(fee(price, amount) for price, amount in levels),
        liquidity=Liquidity.TAKER if part.took else Liquidity.MAKER,
        state=state,
        transaction=_text(row, "transaction_hash") or msgspec.UNSET,
        value_micro=msgspec.UNSET if one_price else worth,
    )


def trade_state(row: SdkRow) -> FillState:
    """Return how far a trade is. Raises BadInput for an unknown status."""
    status = status_of(row)
    state = _FILL_STATES.get(status)
    if state is None:
        raise BadInput(f"its status {status[:40]!r} is not known")
    return state


def _taken(
    makers: object, taker: tuple[Instrument, Leg], size: int, reader: RowReader
) -> tuple[tuple[int, int], ...]:
    """Return what a taker's order met, as (price of its own leg, size): the detail of a trade.

    The row's own price may be the taker's limit, where the venue minted or crossed several prices.
    A maker of the other leg at p is met at 1 − p. Amounts that do not add up to the trade's size
    within `DUST` are no detail of it. Raises BadInput.
    """
    instrument, leg = taker
    levels: list[tuple[int, int]] = []
    for maker in makers if isinstance(makers, list) else []:
        fields = _fields(maker)
        found = reader.memory.token(_text(fields, "asset_id"))
        if found is None or found[0].instrument.id != instrument.id:
            raise BadInput("a maker of a trade of ours is in another market")
        price = _price(fields, instrument)
        price = price if found[1] is leg else instrument.one - price
        levels.append((price, number(fields.get("matched_amount"), SIZE_DECIMALS, "size")))
    met = sum(amount for _, amount in levels)
    if abs(met - size) > DUST:
        raise BadInput(f"its makers gave {met} of the {size} it tells")
    if met != size:  # dust, which the largest part carries
        largest = max(levels, key=lambda level: level[1])
        levels.append((largest[0], size - met))
    return tuple(levels)


def _price(row: SdkRow, instrument: Instrument) -> int:
    """Return a price. Raises BadInput where it is none of a match."""
    price = number(row.get("price"), PRICE_DECIMALS, "price")
    if not 0 < price < instrument.one:
        raise BadInput(f"price {shown(row.get('price'))} is out of range")
    return price


def listed_fills(
    rows: Sequence[object], reader: RowReader
) -> tuple[tuple[OrderFilled, ...], tuple[UnreadRow, ...]]:
    """Return our fills in rows of /data/trades, in their order, and the rows that cannot be read.

    Of a stranger's trade only its status is looked at, so that a new one is noticed.
    """
    found: list[OrderFilled] = []
    unread: list[UnreadRow] = []
    for row in rows:
        try:
            fills = list(trade_fills(row, reader))
            if not fills:
                trade_state(_fields(row))
        except BadInput as error:
            unread.append(_unread(row, error, reader, ours=_ours_in(row, reader)))
        else:
            found += fills
    return tuple(found), tuple(unread)


def unnamed_orders(
    rows: Sequence[object], reader: RowReader
) -> tuple[tuple[OrderReport, ...], tuple[UnreadRow, ...]]:
    """Return orders of our key in rows of /data/trades whose names are not known, as filled.

    The size of each is what these rows have matched of it, the price the worst of these matches.
    Also the rows of ours that cannot be read.
    """
    found: dict[str, OrderReport] = {}
    unread: list[UnreadRow] = []
    for row in rows:
        try:
            for part in _parts(_fields(row)):
                name = _text(part.fields, part.name).lower()
                if reader.memory.known(name) is None and _owned(_fields(row), part, reader.key):
                    found[name] = _filled_order(row, part, found.get(name), reader)
        except BadInput as error:
            if _ours_in(row, reader):
                unread.append(_unread(row, error, reader, ours=True))
    return tuple(found.values()), tuple(unread)


def _owned(row: SdkRow, part: _Part, key: str) -> bool:
    """Say whether a part of a trade is of our key; the row's own owner is who asked."""
    taker = not part.took or _text(row, "trader_side").upper() == "TAKER"
    return taker and _text(part.fields, "owner") == key


def _filled_order(
    row: object, part: _Part, before: OrderReport | None, reader: RowReader
) -> OrderReport:
    """Return an order as far as its fills tell, the ones in `before` included. Raises BadInput."""
    trade_state(_fields(row))
    placed = {**part.fields, "market": _fields(row).get("market")}
    instrument, leg = _place(placed, reader.memory)
    side, prices = _side(part.fields), [number(part.fields.get("price"), PRICE_DECIMALS, "price")]
    size = _size(part.fields, part.amount)
    if size <= 0 or not 0 < prices[0] < 10**PRICE_DECIMALS:
        raise BadInput(f"trade {_text(_fields(row), 'id')[:40]} has no size or no price")
    if before is not None:
        prices.append(before.price)
        size += before.filled
    price = max(prices) if side is Side.BUY else min(prices)
    name = Identity(_text(part.fields, part.name).lower())
    return OrderReport(
        identity=name, order=None, ours=True, instrument=instrument, leg=leg, side=side,
        price=price, size=size, filled=size, state=OrderState.FILLED,
    )  # fmt: skip


def _ours_in(row: object, reader: RowReader) -> bool:
    """Say whether a row that cannot be read names our key or an order of ours, wherever."""
    try:
        text = str(row)
    except RecursionError:  # nested without end
        return True
    known = reader.memory.known
    return reader.key in text or any(known(name) is not None for name in _HASH.findall(text))


def _unread(row: object, error: BadInput, reader: RowReader, *, ours: bool) -> UnreadRow:
    fields: SdkRow = row if isinstance(row, Mapping) else {}
    known = reader.memory.known(_text(fields, "id")) if ours else None
    token = reader.memory.token(_text(fields, "asset_id"))
    name = _text(fields, "id")[:80] or "one without an id"
    return UnreadRow(
        row=name,
        reason=str(error),
        ours=ours,
        order=None if known is None else known.order,
        instrument=None if token is None else token[0].instrument.id,
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

    None too for a token of a market not listed here whose outcome the venue does not number (999):
    it cannot be traded by Pitboss, so it is in no order's way.
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


def holdings(
    rows: Sequence[object], reader: RowReader
) -> tuple[tuple[tuple[InstrumentId, Leg, int], ...], tuple[UnreadRow, ...]]:
    """Return what rows of /v2/positions hold, and the rows that cannot be read.

    Ours among these are those of a token we know.
    """
    found: set[tuple[InstrumentId, Leg, int]] = set()
    unread: list[UnreadRow] = []
    for row in rows:
        try:
            held = holding(row, reader.memory)
        except BadInput as error:
            fields: SdkRow = row if isinstance(row, Mapping) else {}
            name = _text(fields, "token_id")
            token = reader.memory.token(name)
            instrument = None if token is None else token[0].instrument.id
            unread.append(
                UnreadRow(
                    row=name[:80] or "one without a token",
                    reason=str(error),
                    ours=token is not None,
                    instrument=instrument,
                )
            )
        else:
            if held is not None:
                found.add(held)
    return tuple(sorted(found)), tuple(unread)


class Payments:
    """Redemptions, splits and merges in rows of /v2/activity, one per market and transaction.

    Of a redemption the index tells the money and not the tokens. A combo's is nothing Pitboss
    trades; what is older than `since_ns` was not asked for. `read` the rows, then ask.
    """

    def __init__(self, account: AccountId, since_ns: int) -> None:
        self._account, self._since_ns = account, since_ns
        self._paid: dict[tuple[str, str], TokensRedeemed] = {}
        self._pairs: dict[tuple[str, str], PairsConverted] = {}
        self.unread: list[UnreadRow] = []

    def read(self, rows: Sequence[object]) -> None:
        """Take rows. One that cannot be read takes the others of its payment with it.

        A part of a payment would be booked under its name for good.
        """
        torn: list[tuple[str, str]] = []
        for row in rows:
            try:
                self._read(_fields(row))
            except BadInput as error:
                fields: SdkRow = row if isinstance(row, Mapping) else {}
                name = _text(fields, "transaction_hash"), _text(fields, "condition_id")
                torn.append(name)
                called = " ".join(filter(None, (*name, _text(fields, "type"))))[:160]
                self.unread.append(
                    UnreadRow(
                        row=called or "one without a name",
                        reason=str(error),
                        ours=True,
                        instrument=instrument_of(name[1]) if name[1] else None,
                    )
                )
        for transaction, condition in torn:
            for found in (self._paid, self._pairs):
                for name in list(found):
                    if transaction in {"", name[0]} and condition in {"", name[1]}:
                        del found[name]

    def _read(self, row: SdkRow) -> None:
        kind = _text(row, "type")
        if kind not in _SIGNS:
            raise BadInput(f"asked what the wallet's pairs became, the venue reports {kind[:40]!r}")
        _needed(row, "timestamp", "transaction_hash", "condition_id", "usdc_size")
        at_ns = stamp_ns(row.get("timestamp"), "timestamp")
        amount = number(row.get("usdc_size"), 6, "usdc_size")
        # A pair costs one and brings one: without a size the money counts them.
        size = _SIGNS[kind] * (_size(row, "size") or amount)
        if row.get("is_combo") or at_ns < self._since_ns:
            return
        name = _text(row, "transaction_hash"), _text(row, "condition_id")
        instrument = instrument_of(name[1])
        if size:
            if (pairs := self._pairs.get(name)) is not None:
                size, amount = size + pairs.size, amount + pairs.amount_micro
            self._pairs[name] = PairsConverted(
                account=self._account, transaction=name[0], instrument=instrument,
                size=size, amount_micro=amount, at_ns=at_ns,
            )  # fmt: skip
        else:
            amount += self._paid[name].amount_micro if name in self._paid else 0
            self._paid[name] = TokensRedeemed(
                account=self._account, transaction=name[0], instrument=instrument,
                amount_micro=amount, at_ns=at_ns,
            )  # fmt: skip

    @property
    def redemptions(self) -> tuple[TokensRedeemed, ...]:
        """The redemptions, oldest first."""
        return tuple(sorted(self._paid.values(), key=lambda one: (one.at_ns, one.transaction)))

    @property
    def conversions(self) -> tuple[PairsConverted, ...]:
        """The splits and merges, oldest first."""
        return tuple(sorted(self._pairs.values(), key=lambda one: (one.at_ns, one.transaction)))


INCOME = {
    "REWARD": CashKind.REWARD,
    "YIELD": CashKind.REWARD,
    "REFERRAL_REWARD": CashKind.REWARD,
    "MAKER_REBATE": CashKind.REBATE,
    "TAKER_REBATE": CashKind.REBATE,
}
"""Kinds of activity that are income (trading API, §3.6): paid by the day, for no fill."""


def incomes(
    rows: Sequence[object], account: AccountId, currency: str
) -> tuple[tuple[CashMoved, ...], tuple[UnreadRow, ...]]:
    """Return the rewards and rebates of rows of /v2/activity, oldest first, and unreadable rows.

    A row has no name of its own: it is named by all that tells it apart from others of its
    transaction, so that one that is listed later than they are is still another payment. The client
    knows no market in such rows; one that stands there is kept.
    """
    found: list[CashMoved] = []
    unread: list[UnreadRow] = []
    alike: Counter[str] = Counter()
    for row in rows:
        try:
            one = _income(_fields(row), account, currency)
        except BadInput as error:
            fields: SdkRow = row if isinstance(row, Mapping) else {}
            name = f"{_text(fields, 'type')[:40]} {_text(fields, 'transaction_hash')[:80]}".strip()
            name = name or "one without a name"
            unread.append(UnreadRow(row=name, reason=str(error), ours=True))
            continue
        alike[one.payment] += 1
        if (again := alike[one.payment]) > 1:
            one = msgspec.structs.replace(one, payment=f"{one.payment} #{again}")
        found.append(one)
    paid = [one for one in found if one.amount_micro > 0]
    return tuple(sorted(paid, key=lambda one: (one.paid_ns, one.payment))), tuple(unread)


def _income(row: SdkRow, account: AccountId, currency: str) -> CashMoved:
    kind, transaction = _text(row, "type"), _text(row, "transaction_hash")
    if kind not in INCOME or not transaction:
        raise BadInput(f"asked for rewards, the venue reports {kind[:40]!r} {transaction[:80]}")
    amount = number(row.get("usdc_size"), 6, "usdc_size")
    market = _text(row, "condition_id")
    return CashMoved(
        account=account,
        currency=currency,
        amount_micro=amount,
        kind=INCOME[kind],
        payment=" ".join(filter(None, (kind, transaction, market, str(amount)))),
        paid_ns=stamp_ns(row.get("timestamp"), "timestamp"),
        instrument=instrument_of(market) if market else None,
    )


# -- inside ----------------------------------------------------------------------------------------


def _place(row: SdkRow, memory: AccountMemory) -> tuple[InstrumentId, Leg]:
    found = memory.token(_text(row, "asset_id"))
    if found is not None:
        return found[0].instrument.id, found[1]
    # A market not listed here: the label decides, as everywhere at this venue.
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
    if value is None:
        return ""
    return plain_text(value if isinstance(value, str) else str(value))
