"""Bets: all that one bot, or a hand, did in one market with one account, folded from facts.

What has one leg, a pair or a perpetual, has round trips instead (`storage.projected.round_trips`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum

import msgspec

from engine.domain.commands import MANUAL
from engine.domain.events import CashMoved, HoldingTransferred
from engine.domain.instruments import Leg, Mode, Side
from engine.domain.products.binary import pays_micro
from storage.fold import Fold, Noun, ProjectedTable
from storage.journal import Record
from storage.projected.conversions import PairsBooked
from storage.projected.fills import FillBooked, FillRow
from storage.projected.listings import ListingRow, PayoutChanged


class BetResult(StrEnum):
    """How a bet ended."""

    OPEN = "open"
    SOLD = "sold"
    """All its tokens were sold."""
    WON = "won"
    """The outcome found it with more winning tokens than losing ones."""
    LOST = "lost"
    EVEN = "even"
    """As many of both, or an outcome that pays both alike."""
    MERGED = "merged"
    """Its last tokens were pairs that became cash."""
    VOIDED = "voided"
    """Every fill of it was reversed."""


class BetRow(msgspec.Struct, kw_only=True):
    """One row of `bets`: all that one bot, or a hand, did in one market; void fills count nowhere.

    Net = received + paid − spent − fees, once it is closed; rewards stand beside it.
    """

    account: str
    instrument: str
    bot: str
    mode: Mode
    result: BetResult = BetResult.OPEN
    yes: int = 0
    no: int = 0
    """Tokens held, pending ones too; at the end what the outcome decided on."""
    bought: int = 0
    sold: int = 0
    spent_micro: int = 0
    received_micro: int = 0
    fee_micro: int = 0
    paid_micro: int = 0
    """What the tokens pay that were held when the market was resolved."""
    reward_micro: int = 0
    """Rewards and rebates the venue named this market for, while this was its only bet."""
    fills: int = 0
    merged: int = 0
    """Pairs that became cash, less those that cash became; in increments."""
    unvalued: int = 0
    opened_ns: int
    """Its first fill."""
    closed_ns: int | None = None
    """None = it holds tokens of a market that is not resolved."""
    updated_ns: int
    seq: int

    def apply_fill(self, fill: FillRow, sign: int) -> None:
        """Add a fill, or take it out (-1) as if it had never been; then call `judge`."""
        value, size, buys = sign * (fill.value_micro or 0), sign * fill.size, fill.side is Side.BUY
        if buys:
            self.bought += size
            self.spent_micro += value
        else:
            self.sold += size
            self.received_micro += value
        if fill.leg is Leg.NO:
            self.no += size if buys else -size
        else:
            self.yes += size if buys else -size
        self.fee_micro += sign * fill.fee_micro
        self.fills += sign
        self.unvalued += sign * (fill.value_micro is None)

    def take_in(self, leg: Leg, size: int, cost_micro: int) -> None:
        """Take tokens that came without a trade, as bought for what they cost."""
        self.bought += size
        self.spent_micro += cost_micro
        if leg is Leg.NO:
            self.no += size
        else:
            self.yes += size

    def transfer(self, leg: Leg, size: int, value_micro: int) -> None:
        """Take what another owner gave (`size` > 0), or give it, at a stated price."""
        if size > 0:
            self.take_in(leg, size, value_micro)
            return
        self.sold -= size
        self.received_micro += value_micro
        if leg is Leg.NO:
            self.no += size
        else:
            self.yes += size

    def convert(self, size: int, amount_micro: int) -> None:
        """Take pairs that cash became, or let go of those that became cash (`size` < 0)."""
        if size > 0:
            self.bought += 2 * size
            self.spent_micro += amount_micro
        else:
            self.sold -= 2 * size
            self.received_micro += amount_micro
        self.yes += size
        self.no += size
        self.merged -= size

    def judge(self, listing: ListingRow | None) -> None:
        """Say whether it is over, since `updated_ns`, and how it ended."""
        payout = None if listing is None else listing.payout_yes_micro
        one = None if listing is None else listing.one_token
        self.paid_micro, self.result = 0, BetResult.OPEN
        if not self.yes and not self.no:
            ended = BetResult.SOLD if self.fills else BetResult.VOIDED
            self.result = BetResult.MERGED if self.merged > 0 else ended
        elif payout is not None and one:
            other = pays_micro(Leg.NO, payout)
            self.paid_micro = self.yes * payout // one + self.no * other // one
            ahead = (self.yes - self.no) * (payout - other)
            won = BetResult.WON if ahead > 0 else BetResult.LOST
            self.result = won if ahead else BetResult.EVEN
        over = self.result is not BetResult.OPEN
        self.closed_ns = (self.closed_ns or self.updated_ns) if over else None


def whose_pairs(
    bets: Sequence[BetRow], size: int, amount_micro: int
) -> Iterator[tuple[BetRow | None, int, int]]:
    """Give whose a conversion is: each bet's pairs in turn, the rest is no bet's (None).

    No bot asks for a split.
    """
    left, cash = size, amount_micro
    for bet in bets:
        pairs = min(bet.yes, bet.no, -left)
        if pairs > 0:
            part = cash * pairs // -left
            yield bet, -pairs, part
            left, cash = left + pairs, cash - part
    if left:
        yield None, left, cash


def on_fill_booked(fold: Fold, booked: FillBooked, record: Record) -> None:
    """Add a fill to its bet, or take it out as if it had never been."""
    fill = booked.fill
    listing = fold.rows.find(ListingRow, fill.instrument)
    if listing is not None and listing.linear:
        return
    bet = _bet(fold, (fill.account, fill.instrument, fill.bot), fill.mode, record)
    bet.apply_fill(fill, booked.sign)
    _judge(fold, bet, listing, record)


def on_payout_changed(fold: Fold, changed: PayoutChanged, record: Record) -> None:
    """Judge every bet in a market whose payout is known now."""
    for bet in fold.rows.matching(BetRow, instrument=changed.listing.instrument):
        _judge(fold, bet, changed.listing, record)


def on_pairs_booked(fold: Fold, booked: PairsBooked, record: Record) -> None:
    """Book a split or a merge with the bets whose pairs they are."""
    event = booked.event
    listing = fold.rows.find(ListingRow, event.instrument)
    mine = fold.rows.matching(BetRow, account=event.account, instrument=event.instrument)
    if booked.owner:
        mine = [bet for bet in mine if bet.bot == booked.owner]
    for bet, size, cash in whose_pairs(mine, event.size, event.amount_micro):
        key = event.account, event.instrument, booked.owner or MANUAL
        took = bet or _bet(fold, key, booked.mode, record)
        took.convert(size, cash)
        _judge(fold, took, listing, record)


def on_cash_moved(fold: Fold, event: CashMoved, record: Record) -> None:
    """Book tokens that came without a trade as bought by their owner; a reward with its one bet."""
    if event.instrument is None:
        return
    listing = fold.rows.find(ListingRow, event.instrument)
    if listing is not None and listing.linear:
        return
    if event.tokens and event.leg is not None:
        key, mode = (event.account, event.instrument, event.owner), fold.rows.mode(event.account)
        bet = _bet(fold, key, mode, record)
        bet.take_in(event.leg, event.tokens, event.amount_micro)
        _judge(fold, bet, listing, record)
    elif event.payment:
        mine = fold.rows.matching(BetRow, account=event.account, instrument=event.instrument)
        if len(mine) == 1:
            mine[0].reward_micro += event.amount_micro
            mine[0].seq = record.seq
            fold.rows.put(mine[0])


def on_holding_transferred(fold: Fold, event: HoldingTransferred, record: Record) -> None:
    """Book what one owner gave another as sold by the one and bought by the other."""
    listing, mode = fold.rows.find(ListingRow, event.instrument), fold.rows.mode(event.account)
    if listing is None or not listing.value_divisor or listing.linear:
        return
    value = event.price * event.size // listing.value_divisor
    for owner, size in ((event.from_owner, -event.size), (event.to_owner, event.size)):
        bet = _bet(fold, (event.account, event.instrument, owner), mode, record)
        bet.transfer(event.leg, size, value)
        _judge(fold, bet, listing, record)


def _bet(fold: Fold, key: tuple[str, str, str], mode: Mode, record: Record) -> BetRow:
    """Return a bet by account, instrument and bot; a new one where there is none."""
    (account, instrument, bot), at_ns = key, record.at_ns
    return fold.rows.find(BetRow, *key) or BetRow(
        account=account,
        instrument=instrument,
        bot=bot,
        mode=mode,
        opened_ns=at_ns,
        updated_ns=at_ns,
        seq=record.seq,
    )


def _judge(fold: Fold, bet: BetRow, listing: ListingRow | None, record: Record) -> None:
    """Say whether a bet is over, and how it ended."""
    bet.updated_ns, bet.seq = record.at_ns, record.seq
    bet.judge(listing)
    fold.rows.put(bet)


NOUN = Noun(
    (
        ProjectedTable(
            BetRow,
            "bets",
            ("account", "instrument", "bot"),
            (("mode", "closed_ns", "account", "instrument", "bot"), ("instrument",)),
        ),
    ),
    {
        FillBooked: on_fill_booked,
        PayoutChanged: on_payout_changed,
        PairsBooked: on_pairs_booked,
        CashMoved: on_cash_moved,
        HoldingTransferred: on_holding_transferred,
    },
)
