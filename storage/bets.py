"""Bets: all that one bot, or a hand, did in one market with one account, folded from facts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from engine.domain.commands import MANUAL
from engine.domain.instruments import InstrumentId, Leg, Mode, Side
from engine.domain.money import MICRO

if TYPE_CHECKING:
    from engine.domain.events import CashMoved, PairsConverted
    from storage.journal import Record
    from storage.rows import FillRow, ListingRow, Rows


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

    def take(self, fill: FillRow, sign: int) -> None:
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
            self.paid_micro = self.yes * payout // one + self.no * (MICRO - payout) // one
            ahead = (self.yes - self.no) * (2 * payout - MICRO)
            won = BetResult.WON if ahead > 0 else BetResult.LOST
            self.result = won if ahead else BetResult.EVEN
        over = self.result is not BetResult.OPEN
        self.closed_ns = (self.closed_ns or self.updated_ns) if over else None


def whose_pairs(
    bets: Sequence[BetRow], size: int, amount_micro: int
) -> Iterator[tuple[BetRow | None, int, int]]:
    """Give whose a conversion is: each bet's pairs in turn, the rest nobody's (None).

    A split is nobody's: no bot asks for one.
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


class Bets:
    """The bets among `rows`. `storage.projection` alone calls it."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def of(self, key: tuple[str, str, str], mode: Mode, record: Record) -> BetRow:
        """Return a bet by account, instrument and bot; a new one where there is none."""
        (account, instrument, bot), at_ns = key, record.at_ns
        return self._rows.find(BetRow, *key) or BetRow(
            account=account, instrument=instrument, bot=bot, mode=mode, opened_ns=at_ns,
            updated_ns=at_ns, seq=record.seq,
        )  # fmt: skip

    def judge(self, bet: BetRow, listing: ListingRow | None, record: Record) -> None:
        """Say whether a bet is over, and how it ended."""
        bet.updated_ns, bet.seq = record.at_ns, record.seq
        bet.judge(listing)
        self._rows.put(bet)

    def convert(
        self, event: PairsConverted, listing: ListingRow | None, mode: Mode, record: Record
    ) -> None:
        """Book a split or a merge with whose pairs they are."""
        mine = self._mine(event.account, event.instrument)
        for bet, size, cash in whose_pairs(mine, event.size, event.amount_micro):
            took = bet or self.of((event.account, event.instrument, MANUAL), mode, record)
            took.convert(size, cash)
            self.judge(took, listing, record)

    def reward(self, event: CashMoved, record: Record) -> None:
        """Note what was paid for a market at its bet, where one alone stands there."""
        mine = self._mine(event.account, event.instrument) if event.instrument else []
        if len(mine) == 1:
            mine[0].reward_micro += event.amount_micro
            mine[0].seq = record.seq
            self._rows.put(mine[0])

    def _mine(self, account: str, instrument: InstrumentId) -> list[BetRow]:
        return [bet for bet in self._rows.bets_in(instrument) if bet.account == account]
