"""Positions: what each owner holds of a leg, what it cost, what sales of it brought."""

from __future__ import annotations

import msgspec

from engine.domain.commands import MANUAL
from engine.domain.events import CashMoved, HoldingTransferred, RedemptionsListed
from engine.domain.fills import FillState
from engine.domain.instruments import UNASSIGNED, BotId, Leg, Mode, Side
from engine.domain.liquidations import LiquidationPart, PositionFacts
from engine.domain.owners import FundingPart, HoldersPast, repaid, shares, taken_first
from engine.domain.perpetual_events import FundingPaid, PositionLiquidated
from engine.domain.products.binary import PAIR
from engine.domain.products.funding import nominal_stamp
from engine.domain.products.margin import ContractValue
from engine.domain.products.position import SignedPosition
from engine.errors import JournalCorrupt
from storage.fold import Fold, Noun, ProjectedTable
from storage.journal import Record
from storage.projected.conversions import PairsBooked
from storage.projected.fills import FillBooked, FillConfirmed, FillRow
from storage.projected.listings import ListingRow
from storage.projected.orders import OrderRow
from storage.signed_trades import (
    FundingShared,
    FundingShareRow,
    HoldersRow,
    PositionFactsRow,
    traded,
)


class PositionRow(msgspec.Struct, kw_only=True):
    """One row of `positions`: what one owner holds of a leg; void fills count nowhere.

    The account's position is the sum over its owners: bots, `manual`, `unassigned`.

    `unvalued` are fills without a value: while there are any, the sums of money are not whole.
    """

    account: str
    instrument: str
    leg: Leg
    bot: str
    mode: Mode
    settled: int = 0
    pending: int = 0
    bought: int = 0
    sold: int = 0
    spent_micro: int = 0
    received_micro: int = 0
    fee_micro: int = 0
    funding_micro: int = 0
    """What came for holding it, less what was paid: `funding_shares` has each stamp."""
    cost_micro: int = 0
    """What the tokens that are held cost, sales taken out at the average."""
    dust: int = 0
    """What its fees in the traded asset left of an increment, in the asset's units; below zero =
    they were paid of what others left."""
    owed: int = 0
    """Of `manual`: what merges took although no owner held it; its fills are still to come."""
    owed_micro: int = 0
    """What those merges brought for it."""
    unvalued: int = 0
    updated_ns: int
    seq: int

    def apply_fill(self, fill: FillRow, sign: int) -> None:
        """Add a fill, or take it out (-1) as if it had never been; note what it realises."""
        worth, realised, held = fill.fee_worth_micro, 0, self.settled + self.pending
        buys = 1 if fill.side is Side.BUY else -1
        size = sign * buys * fill.tokens
        value = sign * ((fill.value_micro or 0) - buys * worth)
        if fill.side is Side.BUY:
            self.bought += size
            self.spent_micro += value
            self.cost_micro += value
        else:
            if sign < 0:
                out = value + (fill.realised_micro or 0)  # what its sale had taken, back
            else:
                out = self.cost_micro * size // held if size < held else self.cost_micro
                realised = value - out
            self.sold += size
            self.received_micro += value
            self.cost_micro -= out
            size = -size
        if fill.state is FillState.CONFIRMED:
            self.settled += size
        else:
            self.pending += size
        self.fee_micro += sign * (fill.fee_micro + worth)
        self.unvalued += sign * (fill.value_micro is None)
        if not self.settled + self.pending:  # a reversal may leave a cost without tokens
            realised -= self.cost_micro
            self.cost_micro = 0
        fill.realised_micro = None if self.unvalued else realised

    def apply_signed(self, fill: FillRow, sign: int) -> None:
        """Add a fill of what is held long or short, or take it out (-1); note what it realises."""
        size, value = sign * fill.size, sign * (fill.value_micro or 0)
        if fill.side is Side.BUY:
            self.bought += size
            self.spent_micro += value
        else:
            self.sold += size
            self.received_micro += value
            size, value = -size, -value
        realised = self._trade(size, value)
        self.fee_micro += sign * fill.fee_micro
        self.unvalued += sign * (fill.value_micro is None)
        fill.realised_micro = None if self.unvalued else realised

    def _trade(self, size: int, value: int) -> int:
        """Book a signed size for its signed value; return what closing brought."""
        held = SignedPosition(self.settled, self.cost_micro)
        realised = held.apply_fill(size, value).realised
        self.settled, self.cost_micro = held.size, held.cost
        return realised

    def hand_over(self, size: int, value: int) -> None:
        """Take over (+) or give away (−) a signed size at a signed value: nothing is traded."""
        if size > 0:
            self.bought += size
            self.spent_micro += value
        else:
            self.sold -= size
            self.received_micro -= value
        self._trade(size, value)

    def convert(self, size: int, value_micro: int) -> None:
        """Take in this leg's part of a split, or let go of it in a merge (`size` < 0)."""
        if size > 0:
            self.bought += size
            self.spent_micro += value_micro
            self.cost_micro += value_micro
        else:
            held = self.settled + self.pending
            self.sold -= size
            self.received_micro += value_micro
            self.cost_micro -= self.cost_micro * -size // held if -size < held else self.cost_micro
        self.settled += size

    def owe(self, size: int, value_micro: int) -> None:
        """Note that no owner held what a merge took, which was booked as this owner's."""
        self.owed += size
        self.owed_micro += value_micro

    def settle_owed(self, size: int) -> int:
        """Let go of so much of what is owed; return what its merges had brought."""
        value = self.owed_micro * size // self.owed
        self.owed -= size
        self.owed_micro -= value
        return value

    def take_back(self, size: int, value_micro: int) -> None:
        """Take out a merge's part that was another owner's, as if it had never been this one's."""
        self.sold -= size
        self.received_micro -= value_micro
        self.settled += size


class LiquidationRow(msgspec.Struct, kw_only=True):
    """One row of `liquidations`: what a venue closed of an account's position by itself."""

    account: str
    name: str
    mode: Mode
    instrument: str
    size: int
    """Below 0 = of a short; 0 = a debt that its insurance paid."""
    value_micro: int
    fee_micro: int
    mark_e8: int | None = None
    at_ns: int
    seq: int


def on_fill_booked(fold: Fold, booked: FillBooked, record: Record) -> None:
    """Add a fill, or take it out as if it had never been."""
    fill, dust = booked.fill, 0
    signed = _signed(fold, fill.instrument)
    if signed:
        _changing(fold, fill.account, fill.instrument, record)
    if fill.fee_asset is not None:
        same = {"account": fill.account, "instrument": fill.instrument, "leg": fill.leg}
        dust = sum(one.dust for one in fold.rows.matching(PositionRow, **same))
    position = _position(fold, _key_of(fill), fill.mode, record)
    if fill.fee_asset is not None:
        listing = fold.rows.find(ListingRow, fill.instrument)
        _fee_in_kind(position, fill, listing, dust=dust, sign=booked.sign)
        fold.rows.put(fill)
    if signed:
        position.apply_signed(fill, booked.sign)
        fold.rows.put(fill)
        sign = booked.sign if fill.side is Side.BUY else -booked.sign
        traded(
            fold,
            position,
            sign * fill.size,
            sign * (fill.value_micro or 0),
            record,
            fee=booked.sign * fill.fee_micro,
            fills=booked.sign,
        )
        _in_order(fold, fill, sign * fill.size, record)
    else:
        position.apply_fill(fill, booked.sign)
        _repay(fold, position, record)
        buys = 1 if fill.side is Side.BUY else -1
        worth = fill.fee_worth_micro
        _of_pair(
            fold,
            position,
            booked.sign * fill.tokens,
            booked.sign * (buys * (fill.value_micro or 0) - worth),
            record,
            fee=booked.sign * (fill.fee_micro + worth),
            fills=booked.sign,
        )


def _of_pair(
    fold: Fold,
    position: PositionRow,
    size: int,
    value: int,
    record: Record,
    *,
    fee: int = 0,
    fills: int = 0,
) -> None:
    """Say that what is held of a pair changed; of a binary nothing is said."""
    listing = fold.rows.find(ListingRow, position.instrument)
    if listing is None or not listing.linear or listing.signed:
        return
    if not size:  # its fee took all of it
        value, fee = 0, fee + value
    traded(fold, position, size, value, record, fee=fee, fills=fills, lot=listing.lot)


def _in_order(fold: Fold, fill: FillRow, size: int, record: Record) -> None:
    """Keep a fill of a signed position in the venue's order; share anew what came after it."""
    order = fold.rows.find(OrderRow, fill.account, fill.order_id)
    row = _facts(fold, fill.account, fill.instrument)
    late = row.facts.add_fill(
        BotId(fill.bot),
        size,
        matched_ns=fill.matched_ns or 0,
        ordered_ns=order.created_ns if order is not None else 0,
    )
    parts = row.facts.share(_held(fold, fill.account, fill.instrument)) if late else []
    fold.rows.put(row)
    _take_parts(fold, fill.account, fill.instrument, parts, record)
    holders = _holders(fold, fill.account, fill.instrument)
    held = _held(fold, fill.account, fill.instrument)
    contract = _contract(fold, fill.instrument)
    for one in holders.past.share_anew(fill.matched_ns or 0, held, contract, row.facts.held_at):
        fold.rows.put(holders)
        _pay(fold, one, record)


def _contract(fold: Fold, instrument: str) -> ContractValue | None:
    listing = fold.rows.find(ListingRow, instrument)
    return None if listing is None else listing.contract


def _holders(fold: Fold, account: str, instrument: str) -> HoldersRow:
    """Return who held a perpetual. Put it once it is changed."""
    found = fold.rows.find(HoldersRow, account, instrument)
    return found or HoldersRow(account=account, instrument=instrument, past=HoldersPast())


def _facts(fold: Fold, account: str, instrument: str) -> PositionFactsRow:
    """Return what changed a position. Put it once it is changed."""
    found = fold.rows.find(PositionFactsRow, account, instrument)
    if found is None:
        facts = PositionFacts()
        found = PositionFactsRow(account=account, instrument=instrument, facts=facts)
    return found


def _moved(fold: Fold, account: str, instrument: str, sizes: dict[BotId, int]) -> None:
    """Keep what owners gave one another, or got from elsewhere."""
    row = _facts(fold, account, instrument)
    row.facts.add_move(sizes)
    fold.rows.put(row)


def _take_parts(
    fold: Fold, account: str, key: str, parts: list[LiquidationPart], record: Record
) -> None:
    """Let owners lose their parts of a liquidation, or have them back."""
    mode = fold.rows.mode(account)
    for owner, size, value, fee in parts:
        position = _position(fold, (account, key, Leg.BASE, owner), mode, record)
        _hand_over(fold, position, -size, -value, record, fee=fee, liquidated=True)


def _changing(fold: Fold, account: str, instrument: str, record: Record) -> None:
    """Keep who held a perpetual, before this record changes it, for funding that comes later.

    It may write what was put until now: take a row behind it.
    """
    row = _holders(fold, account, instrument)
    held = _held(fold, account, instrument) if row.past.stamp_between(record.at_ns) else {}
    row.past.changing(held, record.at_ns)
    fold.rows.put(row)


def _held(fold: Fold, account: str, instrument: str) -> dict[BotId, int]:
    mine = fold.rows.matching(PositionRow, account=account, instrument=instrument, leg=Leg.BASE)
    return {BotId(one.bot): one.settled for one in mine}


def _signed(fold: Fold, instrument: str) -> bool:
    listing = fold.rows.find(ListingRow, instrument)
    return listing is not None and listing.signed


def _fee_in_kind(
    position: PositionRow, fill: FillRow, listing: ListingRow | None, *, dust: int, sign: int
) -> None:
    """Take a fee in the traded asset out of dust and as many increments as it needs; -1 undoes."""
    if listing is None or listing.base_step is None or listing.one_token is None:
        return
    if listing.base != fill.fee_asset or fill.fee_amount is None or fill.fee_decimals is None:
        return
    step = listing.base_step
    paid = -(-fill.fee_amount * step * listing.one_token // 10**fill.fee_decimals)
    if sign > 0:
        fill.fee_size = -((dust - paid) // step)
        fill.fee_worth_micro = (fill.value_micro or 0) * paid // (fill.size * step)
    position.dust += sign * (fill.fee_size * step - paid)


def on_fill_confirmed(fold: Fold, confirmed: FillConfirmed, record: Record) -> None:
    """Move the tokens of a fill from pending to settled."""
    fill = confirmed.fill
    if _signed(fold, fill.instrument):
        return  # all of it was there when it was booked
    position = _position(fold, _key_of(fill), fill.mode, record)
    position.pending -= fill.tokens
    position.settled += fill.tokens
    _repay(fold, position, record)


def _repay(fold: Fold, position: PositionRow, record: Record) -> None:
    """Give tokens of late fills to the merges that took them before, for the cash of those."""
    place = position.account, position.instrument, position.leg
    own = position.bot == MANUAL
    debtor = position if own else fold.rows.find(PositionRow, *place, MANUAL)
    if debtor is None or not debtor.owed:
        return
    total = debtor.settled + debtor.pending
    size = repaid(debtor.owed, total, None if own else position.settled)
    if not size:
        return
    value = debtor.settle_owed(size)
    if not own:
        position.convert(-size, value)
        debtor = _position(fold, (*place, MANUAL), debtor.mode, record)
        debtor.take_back(size, value)


def on_pairs_booked(fold: Fold, booked: PairsBooked, record: Record) -> None:
    """Book a split as a buy of both legs, a merge as a sale of both, with whose pairs they are."""
    event = booked.event
    half = event.amount_micro // 2
    for leg, value in zip(PAIR, (half, event.amount_micro - half), strict=True):
        owner = BotId(booked.owner) if booked.owner else None
        whose = [(owner or MANUAL, abs(event.size))]
        if event.size < 0:
            mine = fold.rows.matching(
                PositionRow, account=event.account, instrument=event.instrument, leg=leg
            )
            held = {BotId(one.bot): one.settled for one in mine}
            whose = taken_first(held, -event.size, owner)
        parts = shares(value, [part for _, part in whose])
        for (name, part), cash in zip(whose, parts, strict=True):
            key = event.account, event.instrument, leg, name
            size = part if event.size > 0 else -part
            position = _position(fold, key, booked.mode, record)
            position.convert(size, cash)
            if size < 0 and position.settled < 0:  # no owner held it
                position.owe(part, cash)
            _repay(fold, position, record)


def on_cash_moved(fold: Fold, event: CashMoved, record: Record) -> None:
    """Book tokens that came without a trade here as bought for what they cost."""
    if not event.tokens:
        return
    if event.instrument is None or event.leg is None:
        raise JournalCorrupt(f"record {record.seq} moves tokens and does not say which")
    key = event.account, event.instrument, event.leg, event.owner
    if signed := _signed(fold, event.instrument):
        _changing(fold, event.account, event.instrument, record)
    position = _position(fold, key, fold.rows.mode(event.account), record)
    if signed:
        _hand_over(fold, position, event.tokens, event.amount_micro, record)
        _moved(fold, event.account, event.instrument, {BotId(event.owner): event.tokens})
    else:
        position.convert(event.tokens, event.amount_micro)
        _repay(fold, position, record)
        _of_pair(fold, position, event.tokens, event.amount_micro, record)


def on_position_liquidated(fold: Fold, event: PositionLiquidated, record: Record) -> None:
    """Close what a venue liquidated, once, pro rata of the owners in its direction."""
    account, key = event.account, event.instrument
    if fold.rows.find(LiquidationRow, account, event.name) is not None:
        return
    mode = fold.rows.mode(account)
    fold.rows.put(
        LiquidationRow(
            account=account,
            name=event.name,
            mode=mode,
            instrument=key,
            size=event.size,
            value_micro=event.value_micro,
            fee_micro=event.fee_micro,
            mark_e8=event.mark_e8,
            at_ns=event.at_ns or record.at_ns,
            seq=record.seq,
        )
    )
    if event.currency != fold.rows.currency(account) or not _signed(fold, key):
        return  # the ledger books neither: it raises an alert
    parts = [LiquidationPart(UNASSIGNED, 0, 0, event.fee_micro)]
    if event.size:
        _changing(fold, account, key, record)
        row = _facts(fold, account, key)
        row.facts.add_liquidation(
            event.size,
            event.value_micro,
            event.fee_micro,
            at_ns=event.at_ns,
            booked_ns=record.at_ns,
        )
        parts = row.facts.share(_held(fold, account, key))
        fold.rows.put(row)
    _take_parts(fold, account, key, parts, record)


def on_funding_paid(fold: Fold, paid: FundingPaid, record: Record) -> None:
    """Share a funding among the owners once, as the ledger does; in its own currency alone."""
    account, key, stamp_ns = paid.account, paid.instrument, nominal_stamp(paid.stamp_ns)
    if paid.currency != fold.rows.currency(account) or fold.rows.matching(
        FundingShareRow,
        account=account,
        instrument=key,
        stamp_ns=stamp_ns,
        rate_type=paid.rate_type,
    ):
        return
    row, held = _holders(fold, account, key), _held(fold, account, key)
    by_fills = _facts(fold, account, key).facts.held_at(stamp_ns, held)
    parts = row.past.share(held, paid, _contract(fold, key), by_fills)
    fold.rows.put(row)
    for owner, amount in parts:
        _pay(fold, FundingPart(paid, owner, amount), record)


def _pay(fold: Fold, part: FundingPart, record: Record) -> None:
    """Book by how much an owner's part of a funding changes, with the time of the funding's."""
    paid, owner, amount = part
    account, key, stamp_ns = paid.account, paid.instrument, nominal_stamp(paid.stamp_ns)
    mode = fold.rows.mode(account)
    known = fold.rows.matching(
        FundingShareRow,
        account=account,
        instrument=key,
        stamp_ns=stamp_ns,
        rate_type=paid.rate_type,
    )
    row = next((one for one in known if one.bot == owner), None)
    if row is None:
        booked = known[0] if known else record
        row = FundingShareRow(
            account=account,
            instrument=key,
            stamp_ns=stamp_ns,
            rate_type=paid.rate_type,
            bot=owner,
            mode=mode,
            amount_micro=0,
            at_ns=booked.at_ns,
            seq=booked.seq,
        )
    row.amount_micro += amount
    fold.rows.put(row)
    _position(fold, (account, key, Leg.BASE, owner), mode, record).funding_micro += amount
    fold.emit(FundingShared(account, key, owner, stamp_ns, amount), record)


def on_redemptions_listed(fold: Fold, event: RedemptionsListed, record: Record) -> None:
    """Take fundings and liquidations from a question: each as the event it would have been."""
    for paid in event.fundings:
        on_funding_paid(fold, paid, record)
    for taken in event.liquidations:
        on_position_liquidated(fold, taken, record)


def on_holding_transferred(fold: Fold, event: HoldingTransferred, record: Record) -> None:
    """Book what one owner gave another as a sale of the one and a buy of the other."""
    listing = fold.rows.find(ListingRow, event.instrument)
    if listing is None or not listing.value_divisor:
        return
    value, mode = event.price * event.size // listing.value_divisor, fold.rows.mode(event.account)
    if listing.signed:
        _changing(fold, event.account, event.instrument, record)
        giver = _position(
            fold, (event.account, event.instrument, event.leg, event.from_owner), mode, record
        )
        to = event.account, event.instrument, event.leg, event.to_owner
        sign = 1 if giver.settled > 0 else -1
        _hand_over(fold, giver, -sign * event.size, -sign * value, record)
        taker = _position(fold, to, mode, record)
        _hand_over(fold, taker, sign * event.size, sign * value, record)
        if event.from_owner != event.to_owner:
            moved = {event.from_owner: -sign * event.size, event.to_owner: sign * event.size}
            _moved(fold, event.account, event.instrument, moved)
        return
    for owner, size in ((event.from_owner, -event.size), (event.to_owner, event.size)):
        key = event.account, event.instrument, event.leg, owner
        position = _position(fold, key, mode, record)
        position.convert(size, value)
        _repay(fold, position, record)
        _of_pair(fold, position, size, value if size > 0 else -value, record)


def _hand_over(
    fold: Fold,
    position: PositionRow,
    size: int,
    value: int,
    record: Record,
    *,
    fee: int = 0,
    liquidated: bool = False,
) -> None:
    """Book what came to an owner's signed position, or left it, by no fill."""
    if size:
        position.hand_over(size, value)
    position.fee_micro += fee
    traded(fold, position, size, value, record, fee=fee, liquidated=liquidated)


PositionKey = tuple[str, str, Leg, str]


def _key_of(fill: FillRow) -> PositionKey:
    return fill.account, fill.instrument, fill.leg, fill.bot


def _position(fold: Fold, key: PositionKey, mode: Mode, record: Record) -> PositionRow:
    position = fold.rows.find(PositionRow, *key)
    if position is None:
        account, instrument, leg, bot = key
        position = PositionRow(
            account=account,
            instrument=instrument,
            leg=leg,
            bot=bot,
            mode=mode,
            updated_ns=record.at_ns,
            seq=record.seq,
        )
    position.updated_ns, position.seq = record.at_ns, record.seq
    fold.rows.put(position)
    return position


NOUN = Noun(
    (
        ProjectedTable(PositionRow, "positions", ("account", "instrument", "leg", "bot")),
        ProjectedTable(LiquidationRow, "liquidations", ("account", "name")),
        ProjectedTable(HoldersRow, "holders_past", ("account", "instrument")),
        ProjectedTable(PositionFactsRow, "position_facts", ("account", "instrument")),
        ProjectedTable(
            FundingShareRow,
            "funding_shares",
            ("account", "instrument", "stamp_ns", "rate_type", "bot"),
            (("account", "bot", "at_ns"),),
        ),
    ),
    {
        FillBooked: on_fill_booked,
        FillConfirmed: on_fill_confirmed,
        PairsBooked: on_pairs_booked,
        CashMoved: on_cash_moved,
        FundingPaid: on_funding_paid,
        PositionLiquidated: on_position_liquidated,
        RedemptionsListed: on_redemptions_listed,
        HoldingTransferred: on_holding_transferred,
    },
)
