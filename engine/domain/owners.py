"""Owners: whose something of an account is, and how what is the account's as a whole is shared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.domain.instruments import MANUAL, UNASSIGNED, BotId
from engine.domain.perpetual_events import FundingPaid
from engine.domain.products.funding import funding_shares
from engine.domain.products.margin import ContractValue


def shares(amount: int, weights: Sequence[int]) -> list[int]:
    """Split an amount by weights, to the unit; to the first if they sum to zero.

    A weight below zero gets a part of the other sign. Rounded by the running sum, so that the parts
    always add up.
    """
    total = sum(weights)
    if not total:
        return [amount if not place else 0 for place in range(len(weights))]
    parts, so_far, before = [], 0, 0
    for weight in weights:
        so_far += weight
        upto = amount * so_far // total
        parts.append(upto - before)
        before = upto
    return parts


def liquidated_parts(held: Mapping[BotId, int], size: int) -> list[tuple[BotId, int]]:
    """Return whose position a liquidation of a signed size closed, pro rata.

    A venue nets the owners: those that hold in its direction share it by their sizes. What none
    of them holds was `unassigned`'s.
    """
    there = {owner: held[owner] for owner in sorted(held) if held[owner] * size > 0}
    if not there:
        return [(UNASSIGNED, size)]
    return list(zip(there, shares(size, list(there.values())), strict=True))


def funded_parts(
    held: Mapping[BotId, int], paid: FundingPaid, contract: ContractValue | None
) -> list[tuple[BotId, int]]:
    """Return what each owner gets (+) or pays (−) of a funding, by its own side and size.

    At mark and rate where they are known, else by its part of what all hold together, which is what
    was paid for. Where that is nothing, no part can be known: it is unassigned.
    """
    sizes = {owner: held[owner] for owner in sorted(held) if held[owner]}
    if sizes and contract is not None and paid.mark_e8 is not None and paid.rate_e18 is not None:
        per = contract, paid.mark_e8, paid.rate_e18
        parts = funding_shares(list(sizes.values()), per, paid.amount_micro)
    elif sum(sizes.values()):
        parts = shares(paid.amount_micro, list(sizes.values()))
    else:
        return [(UNASSIGNED, paid.amount_micro)]
    return list(zip(sizes, parts, strict=True))


def taken_first(held: Mapping[BotId, int], size: int) -> list[tuple[BotId, int]]:
    """Return whose tokens were taken without a request from here: by hand first.

    Then what is unassigned, then the bots' by name; what none of them holds was `manual`'s.
    """
    order = sorted(held, key=lambda owner: (owner != MANUAL, owner != UNASSIGNED, owner))
    found, left = [], size
    for owner in order:
        part = min(left, max(0, held[owner]))
        if part:
            found.append((owner, part))
            left -= part
    return [*found, (MANUAL, left)] if left else found
