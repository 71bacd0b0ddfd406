"""Owners: what one account's money is to each of those who trade with it.

Every order has one owner, a bot or `manual`; `unassigned` has what no record can tell. The
account's figures are the sums over its owners, to the unit. What the venue reports of the account
as a whole is shared here by rule: a redemption by the winners each owner holds, a merge nobody here
asked for by their pairs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from engine.domain.events import CashKind, TokensRedeemed
from engine.domain.instruments import UNASSIGNED, BotId, InstrumentId
from engine.domain.owners import shares
from engine.errors import BrokenInvariant
from engine.executor.fills import Holding, LegHolding, payouts, redeemed_tokens
from engine.executor.settlement import LedgerState, OwnerTotals

_LEG_FIELDS = LegHolding.__struct_fields__
_SLOTS = ("yes", "no")
_SUMMED = ("realised_micro", "fees_micro", "redeemable_micro", "dust")


def summed(key: InstrumentId, holders: Mapping[BotId, Holding]) -> Holding:
    """Return what all owners of an instrument hold together; a sole owner's holding as it is."""
    if len(holders) == 1:
        return next(iter(holders.values()))
    total = Holding(instrument=key)
    for held in holders.values():
        total.payout_yes_micro = held.payout_yes_micro
        for name in _SUMMED:
            setattr(total, name, getattr(total, name) + getattr(held, name))
        for leg, more in ((total.yes, held.yes), (total.no, held.no)):
            for name in _LEG_FIELDS:
                setattr(leg, name, getattr(leg, name) + getattr(more, name))
    return total


def _winners(holders: Mapping[BotId, Holding], slot: str, size: int) -> dict[BotId, int]:
    """Share burned winners of a leg; what exceeds all that is redeemable here is `unassigned`."""
    have = {owner: max(0, getattr(held, slot).redeemable) for owner, held in holders.items()}
    known = min(size, sum(have.values()))
    taken = dict(zip(have, shares(known, list(have.values())), strict=True)) if known else {}
    if size > known:
        taken[UNASSIGNED] = taken.get(UNASSIGNED, 0) + size - known
    return taken


def redemption_shares(
    holders: Mapping[BotId, Holding], payout_yes_micro: int, event: TokensRedeemed, unit: int
) -> Iterator[tuple[BotId, TokensRedeemed]]:
    """Give each owner's part of a redemption: tokens as it holds them, cash as they pay."""
    total = summed(event.instrument, holders)
    taken = redeemed_tokens(total, payout_yes_micro, event, unit)
    pays = [payout for _, payout in payouts(total, payout_yes_micro)]
    winners = [
        _winners(holders, slot, size) for slot, size in zip(("yes", "no"), taken, strict=True)
    ]
    owners = sorted({*holders, *winners[0], *winners[1]})
    worth = [
        sum(part.get(owner, 0) * pay for part, pay in zip(winners, pays, strict=True))
        for owner in owners
    ]
    for owner, amount in zip(owners, shares(event.amount_micro, worth), strict=True):
        held = holders.get(owner)
        gone = [
            part.get(owner, 0) if pay else 0 if held is None else getattr(held, slot).lost
            for part, pay, slot in zip(winners, pays, _SLOTS, strict=True)
        ]
        if amount or any(gone):
            yes, no = gone
            yield owner, msgspec.structs.replace(event, yes=yes, no=no, amount_micro=amount)


def net_surplus(holders: Mapping[BotId, Holding], unit: int) -> None:
    """Give a late fill's winners to the payment that had come before them.

    That payment burned more winners than its owner had (below zero); now those who had them are
    known, and what was paid for them is theirs.
    """
    payout_yes_micro = next(iter(holders.values())).payout_yes_micro
    if payout_yes_micro is None:
        return
    for place, slot in enumerate(_SLOTS):
        short = [held for held in holders.values() if getattr(held, slot).redeemable < 0]
        for debtor in short:
            for held in holders.values():
                owed, own = getattr(debtor, slot), getattr(held, slot)
                moved = min(-owed.redeemable, own.redeemable)
                if moved > 0:
                    owed.redeemable += moved
                    own.redeemable -= moved
                    worth = moved * payouts(held, payout_yes_micro)[place][1] // unit
                    debtor.redeemable_micro += worth
                    held.redeemable_micro -= worth


def balance(state: LedgerState) -> None:
    """Raise BrokenInvariant where the books do not balance to the micro-unit, owners included."""
    owned = [held for holders in state.owned.values() for held in holders.values()]
    # For a signed position nothing was paid: each owner has a cost of its own, and the venue one.
    cost = sum(h.yes.cost_micro + h.no.cost_micro for h in owned)
    cost -= sum(position.cost for position in state.netted.values())
    have = state.cash_settled_micro + state.cash_pending_micro + state.redeemable_micro + cost
    accounted = state.deposits_micro + sum(state.income_micro.values())
    accounted += state.realised_micro - state.fees_micro
    if have != accounted:
        raise BrokenInvariant(f"ledger holds {have} micro and accounts for {accounted}")
    reserved = sum(entry.cash_micro for entry in state.reservations.values()) + state.margin_micro
    if reserved != state.cash_reserved_micro:
        raise BrokenInvariant(
            f"reserved cash is {state.cash_reserved_micro}, orders account for {reserved}"
        )
    totals = state.owners.values()
    sums = {
        "realised": (state.realised_micro, sum(one.realised_micro for one in totals)),
        "fees": (state.fees_micro, sum(one.fees_micro for one in totals)),
        "redeemable": (state.redeemable_micro, sum(held.redeemable_micro for held in owned)),
    }
    for name, books in state.assets.items():
        sums[name] = (books.fees, sum(one.asset_fees.get(name, 0) for one in totals))
    for kind in CashKind:
        of_owners = sum(one.income_micro.get(kind, 0) for one in totals)
        sums[kind] = (state.income_micro.get(kind, 0), of_owners)
    for name, (of_account, of_owners) in sums.items():
        if of_account != of_owners:
            raise BrokenInvariant(
                f"{name}: the account has {of_account} units, its owners sum to {of_owners}"
            )


# -- Snapshots of before owners --------------------------------------------------------------------


def assign_before(state: LedgerState, known: Mapping[InstrumentId, BotId]) -> list[InstrumentId]:
    """Give the holdings of a snapshot without owners to those that are `known` to be alone there.

    Return the instruments of which several bots, or none that is known, had a part: what is held
    there, and what was made there, is `unassigned`.
    """
    untold = []
    for key, held in state.holdings.items():
        owner = known.get(key, UNASSIGNED)
        held.owner = owner
        state.owned[key] = {owner: held}
        if owner == UNASSIGNED and not held.flat:
            untold.append(key)
        totals = state.owners.setdefault(owner, OwnerTotals())
        totals.realised_micro += held.realised_micro
        totals.fees_micro += held.fees_micro
    # What was made in markets that are forgotten, and what was paid to the account as a whole.
    rest = state.owners.setdefault(UNASSIGNED, OwnerTotals())
    made = state.owners.values()
    rest.realised_micro += state.realised_micro - sum(one.realised_micro for one in made)
    rest.fees_micro += state.fees_micro - sum(one.fees_micro for one in made)
    rest.income_micro = dict(state.income_micro)
    return untold
