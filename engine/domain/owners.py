"""Owners: whose something of an account is, and how what is the account's as a whole is shared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from engine.domain.instruments import MANUAL, UNASSIGNED, BotId
from engine.domain.perpetual_events import FundingPaid
from engine.domain.products.funding import HOUR_NS, funding_cash, funding_shares, nominal_stamp
from engine.domain.products.margin import ContractValue

SHARED_MAX = 8
"""Fundings of a perpetual that are kept: a fill that comes later than so many changes none."""

HELD_MAX = 72
"""Hours with a change after them of which it is known who held: three days of trading."""


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


class HeldUntil(msgspec.Struct, frozen=True):
    """What owners held of a perpetual, below 0 short, until a moment in ns UTC."""

    until_ns: int
    sizes: dict[BotId, int]


class SharedFunding(msgspec.Struct):
    """A funding that is booked: by what owners held, and what each had of it."""

    paid: FundingPaid
    held: dict[BotId, int]
    parts: dict[BotId, int]


class FundingPart(NamedTuple):
    """By how much an owner's part of a booked funding changes."""

    paid: FundingPaid
    owner: BotId
    amount_micro: int


class HoldersPast(msgspec.Struct):
    """Who held what of a perpetual when stamps were due: their funding may come later than that.

    By the times at which positions were booked here. Stamps lie on full hours.
    """

    changed_ns: int = 0
    """When a position changed last."""
    kept: list[HeldUntil] = []
    shared: list[SharedFunding] = []
    """The last fundings: a fill that was before one may come after it."""

    def share(
        self,
        held: Mapping[BotId, int],
        paid: FundingPaid,
        contract: ContractValue | None,
        by_fills: Mapping[BotId, int],
    ) -> list[tuple[BotId, int]]:
        """Share a funding, as `paid_for` says who held, and keep it."""
        then = self.paid_for(held, paid, contract, by_fills)
        parts = funded_parts(then, paid, contract)
        new = SharedFunding(paid, dict(then), dict(parts))
        self.shared = [*self.shared[1 - SHARED_MAX :], new]
        return parts

    def share_anew(
        self,
        matched_ns: int,
        held: Mapping[BotId, int],
        contract: ContractValue | None,
        held_at: Callable[[int, Mapping[BotId, int]], Mapping[BotId, int]],
    ) -> list[FundingPart]:
        """Share what came before a fill that was made before its stamp; return what that changes.

        `matched_ns` = when, by the venue; 0 = it does not say, and nothing is shared anew. So does
        nothing where what was held by the venue's times, `held_at`, explains the payment no better
        than what is known. The parts of a funding still add up to it.
        """
        changed: list[FundingPart] = []
        for one in self.shared:
            paid, stamp_ns = one.paid, nominal_stamp(one.paid.stamp_ns)
            if not 0 < matched_ns <= stamp_ns:
                continue
            if not (by_fills := held_at(stamp_ns, held)):
                continue
            then = HeldUntil(stamp_ns + 1, dict(by_fills))
            known = HoldersPast(kept=[then, HeldUntil(stamp_ns + 1, one.held), *self.kept])
            if known.paid_for(held, paid, contract, {}) is not then.sizes:
                continue  # another time explains it better
            parts = dict(funded_parts(by_fills, paid, contract))
            more = {
                owner: parts.get(owner, 0) - one.parts.get(owner, 0)
                for owner in sorted({*parts, *one.parts})
            }
            changed += [FundingPart(paid, owner, part) for owner, part in more.items() if part]
            one.held, one.parts = then.sizes, parts
        return changed

    def stamp_between(self, now_ns: int) -> bool:
        """Say whether a stamp may have been due since the last change, before one of now."""
        return (now_ns - 1) // HOUR_NS > (self.changed_ns - 1) // HOUR_NS

    def changing(self, held: Mapping[BotId, int], now_ns: int) -> None:
        """Keep what is held before a change, where a stamp may have been due; then book it."""
        if self.stamp_between(now_ns):
            sizes = {owner: size for owner, size in held.items() if size}
            self.kept = [*self.kept[1 - HELD_MAX :], HeldUntil(now_ns, sizes)]
        self.changed_ns = now_ns

    def paid_for(
        self,
        held: Mapping[BotId, int],
        paid: FundingPaid,
        contract: ContractValue | None,
        by_fills: Mapping[BotId, int],
    ) -> Mapping[BotId, int]:
        """Return what owners held at a funding's stamp; `held` is what they hold now.

        `by_fills` = then, by the venue's times of what is booked by now; empty = not known.

        The payment itself says what the account held together, where it comes with rate and mark:
        where what was booked by the stamp does not explain it, a fill came late, or the venue paid
        by a later position, and who held next is asked until now. Of several that explain it alike
        the first holds. Who held nothing together was paid nothing.
        """
        stamp_ns = nominal_stamp(paid.stamp_ns)
        then = [one.sizes for one in self.kept if one.until_ns > stamp_ns]
        known = (*then, held, by_fills) if by_fills else (*then, held)
        every = [one for one in known if sum(one.values()) or not paid.amount_micro]
        mark_e8, rate = paid.mark_e8, paid.rate_e18
        if not every:
            return held
        if contract is None or mark_e8 is None or rate is None:
            return every[0]
        expected = [funding_cash(contract, sum(one.values()), mark_e8, rate) for one in every]
        apart = [abs(one - paid.amount_micro) for one in expected]
        return every[apart.index(min(apart))]


def funded_parts(
    held: Mapping[BotId, int], paid: FundingPaid, contract: ContractValue | None
) -> list[tuple[BotId, int]]:
    """Return what each owner gets (+) or pays (−) of a funding, by its own side and size.

    `held` = at its stamp. At mark and rate where they are known, else by its part of what all held
    together, which is what was paid for. Where that is nothing, no part can be known: it is
    unassigned.
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


def taken_first(
    held: Mapping[BotId, int], size: int, asked: BotId | None = None
) -> list[tuple[BotId, int]]:
    """Return whose tokens a merge took: of who asked for it here first, then those held by hand.

    Then what is unassigned, then the bots' by name; what none of them holds was `manual`'s. Who
    asked may hold less than it took: a person has merged the same pairs at the venue meanwhile.
    """
    order = sorted(
        held, key=lambda owner: (owner != asked, owner != MANUAL, owner != UNASSIGNED, owner)
    )
    found, left = [], size
    for owner in order:
        part = min(left, max(0, held[owner]))
        if part:
            found.append((owner, part))
            left -= part
    return [*found, (MANUAL, left)] if left else found


def repaid(owed: int, debtor: int, held: int | None) -> int:
    """Return how much of what `manual` owes to merges that came before their fills is paid.

    `owed` = what they took of it that no owner held; `debtor` = what it holds by now, below zero.
    `held` = the tokens of another owner whose fill came; None = its own came.
    """
    lacking = min(owed, max(0, -debtor))
    return owed - lacking if held is None else max(0, min(lacking, held))
