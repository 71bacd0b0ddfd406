"""Cash moves: money, or tokens in its place, that came or left without a trade.

Funding of perpetuals is one, and has a row of its own for each stamp.
"""

from __future__ import annotations

import msgspec

from engine.domain.events import CashKind, CashMoved, RedemptionsListed
from engine.domain.instruments import Leg, Mode
from engine.domain.perpetual_events import FundingPaid
from engine.domain.products.funding import RateType, nominal_stamp
from storage.fold import Fold, Noun, ProjectedTable
from storage.journal import Record


class CashRow(msgspec.Struct, kw_only=True):
    """One row of `cash_moves`: money that came (+) or left (−) without a trade.

    One record is one row: fundings that came in one listing are summed, `funding` has each.
    """

    account: str
    seq: int
    mode: Mode
    currency: str
    amount_micro: int
    kind: CashKind
    payment: str
    """The venue's name of a reward or rebate; empty = it is a deposit or a withdrawal."""
    paid_ns: int = 0
    """When it was paid; of the first cash, when it was asked for."""
    at_ns: int
    instrument: str | None = None
    """The market a reward was named for, or whose tokens came; None = the account as a whole."""
    leg: Leg | None = None
    tokens: int = 0
    """Tokens that came instead of cash, and cost the amount."""


def on_cash_moved(fold: Fold, event: CashMoved, record: Record) -> None:
    """Keep a move of cash."""
    fold.rows.put(
        CashRow(
            account=event.account,
            seq=record.seq,
            mode=fold.rows.mode(event.account),
            currency=event.currency,
            amount_micro=event.amount_micro,
            kind=event.kind,
            payment=event.payment,
            paid_ns=event.paid_ns,
            at_ns=record.at_ns,
            instrument=event.instrument,
            leg=event.leg,
            tokens=event.tokens,
        )
    )


class FundingRow(msgspec.Struct, kw_only=True):
    """One row of `funding`: what came (+) or was paid (−) for one stamp of one instrument."""

    account: str
    instrument: str
    stamp_ns: int
    """The point of the hour grid it is meant for: venues write it milliseconds late."""
    rate_type: RateType
    seq: int
    mode: Mode
    currency: str
    amount_micro: int
    rate_e18: int | None = None
    mark_e8: int | None = None
    payment: str
    """The venue's bill, or empty."""
    at_ns: int


def on_funding_paid(fold: Fold, event: FundingPaid, record: Record) -> None:
    """Keep a funding and the cash it moved; a second one of a stamp and rate type is refused."""
    stamp_ns = nominal_stamp(event.stamp_ns)
    key = event.account, event.instrument, stamp_ns, event.rate_type.value
    if fold.rows.find(FundingRow, *key) is not None:
        return
    mode = fold.rows.mode(event.account)
    fold.rows.put(
        FundingRow(
            account=event.account,
            instrument=event.instrument,
            stamp_ns=stamp_ns,
            rate_type=event.rate_type,
            seq=record.seq,
            mode=mode,
            currency=event.currency,
            amount_micro=event.amount_micro,
            rate_e18=event.rate_e18,
            mark_e8=event.mark_e8,
            payment=event.payment,
            at_ns=record.at_ns,
        )
    )
    cash = CashRow(
        account=event.account,
        seq=record.seq,
        mode=mode,
        currency=event.currency,
        amount_micro=event.amount_micro,
        kind=CashKind.FUNDING,
        payment=event.name,
        paid_ns=event.stamp_ns,
        at_ns=record.at_ns,
        instrument=event.instrument,
    )
    before = fold.rows.find(CashRow, event.account, record.seq)
    if before is not None and before.currency == cash.currency:
        cash.amount_micro += before.amount_micro  # another stamp of the same listing
        if before.instrument != cash.instrument:
            cash.instrument = None
    fold.rows.put(cash)


def on_redemptions_listed(fold: Fold, event: RedemptionsListed, record: Record) -> None:
    """Take fundings from a question: each as the event it would have been."""
    for paid in event.fundings:
        on_funding_paid(fold, paid, record)


NOUN = Noun(
    (
        ProjectedTable(CashRow, "cash_moves", ("account", "seq")),
        ProjectedTable(FundingRow, "funding", ("account", "instrument", "stamp_ns", "rate_type")),
    ),
    {
        CashMoved: on_cash_moved,
        FundingPaid: on_funding_paid,
        RedemptionsListed: on_redemptions_listed,
    },
)
