"""Redemptions: what a wallet was paid for the tokens of a resolved market."""

from __future__ import annotations

import msgspec

from engine.domain.events import RedemptionsListed, TokensRedeemed
from engine.domain.instruments import Mode
from storage.fold import Fold, Noun, ProjectedTable
from storage.journal import Record
from storage.projected.listings import ListingRow


class RedemptionRow(msgspec.Struct, kw_only=True):
    """One row of `redemptions`: what a wallet was paid for a resolved market's tokens."""

    account: str
    transaction_id: str
    instrument: str
    mode: Mode
    amount_micro: int
    at_ns: int
    """When the venue paid."""
    seq: int


def on_tokens_redeemed(fold: Fold, event: TokensRedeemed, record: Record) -> None:
    """Take a payment once; one for a market that was never listed here is left out."""
    key = event.account, event.transaction, event.instrument
    if not fold.rows.find(ListingRow, event.instrument) or fold.rows.find(RedemptionRow, *key):
        return
    fold.rows.put(
        RedemptionRow(
            account=event.account,
            transaction_id=event.transaction,
            instrument=event.instrument,
            mode=fold.rows.mode(event.account),
            amount_micro=event.amount_micro,
            at_ns=event.at_ns,
            seq=record.seq,
        )
    )


def on_redemptions_listed(fold: Fold, event: RedemptionsListed, record: Record) -> None:
    """Take payments from a question: each as the event it would have been."""
    for redemption in event.redemptions:
        on_tokens_redeemed(fold, redemption, record)


NOUN = Noun(
    (ProjectedTable(RedemptionRow, "redemptions", ("account", "transaction_id", "instrument")),),
    {TokensRedeemed: on_tokens_redeemed, RedemptionsListed: on_redemptions_listed},
)
