"""Cash moves: money, or tokens in its place, that came or left without a trade."""

from __future__ import annotations

import msgspec

from engine.domain.events import CashKind, CashMoved
from engine.domain.instruments import Leg, Mode
from storage.fold import Fold, Noun, ProjectedTable
from storage.journal import Record


class CashRow(msgspec.Struct, kw_only=True):
    """One row of `cash_moves`: money that came (+) or left (−) without a trade."""

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


NOUN = Noun(
    (ProjectedTable(CashRow, "cash_moves", ("account", "seq")),), {CashMoved: on_cash_moved}
)
