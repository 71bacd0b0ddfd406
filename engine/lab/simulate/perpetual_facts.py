"""What a journal says of perpetuals, folded naively: who holds what, and what it was opened for.

Written without the arithmetic of the ledger. A cost is an exact fraction here, and cash is counted
as if every position had been paid for at its value: what closing brought is in it then, whatever
was rounded, and no order of fills changes it. Whose a liquidation was is walked anew from the first
entry whenever something comes that was before it at the venue.
"""

from __future__ import annotations

from fractions import Fraction

import msgspec

from engine.domain.instruments import UNASSIGNED, BotId, Instrument, InstrumentId
from engine.domain.perpetual_events import FundingPaid, PositionLiquidated
from engine.domain.products.funding import nominal_stamp


class ExactPosition(msgspec.Struct):
    """A signed size and what it was opened for, of the same sign; `trades` made it."""

    size: int = 0
    cost: Fraction = Fraction(0)
    trades: int = 0

    def trade(self, size: int, value: int) -> None:
        """Take a trade of a signed size and its signed value in micro-units.

        What closes goes at the mean cost of what is held; what goes beyond opens at its own price.
        """
        self.trades += 1
        after = self.size + size
        if self.size * size >= 0:
            self.cost += value
        elif after * self.size > 0:
            self.cost = self.cost * after / self.size
        else:
            self.cost = Fraction(value * after, size)
        self.size = after


class Entry(msgspec.Struct):
    """What changed the positions of a perpetual: a fill, a gift, or a liquidation."""

    at_ns: int
    """When, by the venue."""
    sizes: dict[BotId, int] = {}
    taken: PositionLiquidated | None = None
    parts: dict[BotId, int] = {}
    """What each owner is known to have lost of a liquidation."""
    booked_ns: int = 0


class PerpetualFacts:
    """Positions of one account's perpetuals, its fundings and liquidations."""

    def __init__(self) -> None:
        self.fundings: dict[str, FundingPaid] = {}
        self.liquidations: dict[str, PositionLiquidated] = {}
        self.dues: dict[str, Due] = {}
        """What each funding brought its owners by what they held at its stamp, by its name."""
        self._units: dict[str, Fraction] = {}
        """What a funding of known terms brings a unit of size."""
        self.at_ns = 0
        """When the record that is taken was written."""
        self.past: dict[InstrumentId, list[tuple[int, dict[BotId, int]]]] = {}
        """What owners held of each, and until when."""
        self.entries: dict[InstrumentId, list[Entry]] = {}
        """What changed each, in the order of the venue."""
        self.late_fundings = 0
        """Fundings counted anew for a fill that came behind them."""
        self.late = 0
        """Fills that came behind a liquidation which they were before."""
        self.fills = 0
        self.flips = 0
        """Fills that took an owner through zero."""
        self.owned: dict[tuple[BotId, InstrumentId], ExactPosition] = {}
        self.net: dict[InstrumentId, ExactPosition] = {}
        """What a venue that nets the owners holds."""

    def take_trade(self, owner: BotId, key: InstrumentId, size: int, value: int) -> None:
        """Take a trade of an owner with the venue."""
        self.give(owner, key, size, value)
        self.net.setdefault(key, ExactPosition()).trade(size, value)

    def take_fill(self, fill: SignedFill, *, matched_ns: int, ordered_ns: int) -> Parts:
        """Take a fill; give what it changes of whose the liquidations behind it were.

        At the same time as one, it was before that if no owner had what it closed.
        """
        self.fills += 1
        self.take_trade(*fill)
        owner, key, size, _ = fill
        entries, behind = self.entries.setdefault(key, []), list[int]()
        for number, entry in enumerate(entries):
            same = matched_ns in (0, entry.at_ns) and ordered_ns <= entry.booked_ns
            lacked = entry.parts.get(UNASSIGNED, 0) * size > 0
            if entry.at_ns > matched_ns > 0 or (same and lacked):
                behind.append(number)
        place = behind[0] if behind else len(entries)
        self.late += any(entry.taken is not None for entry in entries[place:])
        before_ns = entries[min(place, len(entries) - 1)].at_ns if entries else 0
        entries.insert(place, Entry(matched_ns or before_ns, {owner: size}))
        changed = self._walk(key)
        self._fund_anew(key, matched_ns)
        return changed

    def take_gift(self, key: InstrumentId, parts: dict[BotId, tuple[int, int]]) -> None:
        """Take what owners gave one another of what they hold now, at a value."""
        for owner, (size, value) in parts.items():
            self.give(owner, key, size, value)
        entries = self.entries.setdefault(key, [])
        at_ns = entries[-1].at_ns if entries else 0
        entries.append(Entry(at_ns, {owner: size for owner, (size, _) in parts.items()}))

    def give(self, owner: BotId, key: InstrumentId, size: int, value: int) -> None:
        """Take what an owner got (+) or gave away (−) without the venue."""
        self.past.setdefault(key, []).append((self.at_ns, self._sizes(key)))
        held = self.owned.setdefault((owner, key), ExactPosition())
        self.flips += held.size * (held.size + size) < 0
        held.trade(size, value)

    def held(self, owner: BotId, key: InstrumentId) -> ExactPosition:
        """Return what an owner holds (read only)."""
        return self.owned.get((owner, key)) or ExactPosition()

    def cost(self, key: InstrumentId, owner: BotId | None) -> Fraction:
        """Return what an owner's position was opened for, or those of all owners together."""
        found = [
            held.cost
            for (of, instrument), held in self.owned.items()
            if instrument == key and owner in (None, of)
        ]
        return sum(found, Fraction(0))

    def opened(self) -> Fraction:
        """Return what positions at the venue were opened for: no cash was paid for them."""
        return sum((held.cost for held in self.net.values()), Fraction(0))

    @property
    def doubt_micro(self) -> int:
        """By how much costs that are rounded at every trade may differ from the exact ones."""
        trades = sum(held.trades for held in self.owned.values())
        return 2 * (trades + sum(held.trades for held in self.net.values()))

    # -- what the venue does by itself -------------------------------------------------------------

    def take_funding(self, paid: FundingPaid, terms: Instrument | None) -> bool:
        """Take a funding; False = this stamp's is known.

        Each owner has its own of what it held at the stamp, or of what it held at any time since
        that explains the amount as well: a fill may have come late. What the venue paid beside
        that may be any owner's.
        """
        if paid.name in self.fundings:
            return False
        self.fundings[paid.name] = paid
        key, amount, stamp_ns = paid.instrument, paid.amount_micro, nominal_stamp(paid.stamp_ns)
        since = [sizes for until_ns, sizes in self.past.get(key, ()) if until_ns > stamp_ns]
        certain = [*since[:1], self._sizes(key), self._held_at(key, stamp_ns)]
        since, certain = (
            [one for one in of if sum(one.values()) or not amount]
            for of in ([*since, *certain[-2:]], certain)
        )
        if terms is not None:
            self._units[paid.name] = -Fraction(
                (paid.mark_e8 or 0) * (paid.rate_e18 or 0), 10 ** (terms.size_decimals + 20)
            )
        if terms is None or not any(since):
            since, dues = [], [{UNASSIGNED: Fraction(amount)}]
        else:
            unit = self._units[paid.name]
            dues = [{owner: size * unit for owner, size in one.items()} for one in since]
        apart = [abs(sum(due.values(), Fraction(0)) - amount) for due in dues]
        believed = [one for sizes, one in zip(since, apart, strict=False) if sizes in certain]
        most = min(believed or apart)
        fit = [due for due, one in zip(dues, apart, strict=True) if one <= most + 1]
        spare = most + 3 if since else Fraction(0)
        self.dues[paid.name] = _ranges(fit, spare)
        return True

    @property
    def funded(self) -> dict[BotId, tuple[Fraction, Fraction]]:
        """What fundings brought an owner by what it held, and how far that may be off."""
        found: dict[BotId, tuple[Fraction, Fraction]] = {}
        for due in self.dues.values():
            for owner, (low, high) in due.items():
                mean, doubt = found.get(owner, (Fraction(0), Fraction(0)))
                found[owner] = mean + (low + high) / 2, doubt + (high - low) / 2
        return found

    def _fund_anew(self, key: InstrumentId, matched_ns: int) -> None:
        """Count fundings anew whose stamp a fill was before, that came after them.

        What was held by the venue's times is due alone where it explains the payment, and may be
        due beside what was where it does not.
        """
        for name, paid in self.fundings.items():
            stamp_ns, unit = nominal_stamp(paid.stamp_ns), self._units.get(name)
            if paid.instrument != key or unit is None or not 0 < matched_ns <= stamp_ns:
                continue
            due = {owner: size * unit for owner, size in self._held_at(key, stamp_ns).items()}
            apart = abs(sum(due.values(), Fraction(0)) - paid.amount_micro)
            self.late_fundings += 1
            new = _ranges([due], apart + 3)
            if apart > 1:
                old = self.dues[name]
                new = {
                    owner: (
                        min(old.get(owner, NOTHING)[0], new.get(owner, NOTHING)[0]),
                        max(old.get(owner, NOTHING)[1], new.get(owner, NOTHING)[1]),
                    )
                    for owner in {*old, *new}
                }
            self.dues[name] = new

    def _held_at(self, key: InstrumentId, at_ns: int) -> dict[BotId, int]:
        """Return what owners held at a time of the venue's, by its own order."""
        held: dict[BotId, int] = {}
        for entry in self.entries.get(key, ()):
            if entry.at_ns <= at_ns:
                for sizes, sign in ((entry.sizes, 1), (entry.parts, -1)):
                    for owner, size in sizes.items():
                        held[owner] = held.get(owner, 0) + sign * size
        return {owner: size for owner, size in held.items() if size}

    def _sizes(self, key: InstrumentId) -> dict[BotId, int]:
        return {
            owner: held.size for (owner, of), held in self.owned.items() if of == key and held.size
        }

    def take_liquidation(self, taken: PositionLiquidated) -> Parts | None:
        """Take a liquidation; give each owner's part of it, None where it is known.

        And what it changes of those behind it at the venue.
        """
        if taken.name in self.liquidations:
            return None
        self.liquidations[taken.name] = taken
        key = taken.instrument
        if not taken.size:
            return [LiquidatedPart(UNASSIGNED, 0, 0, taken.fee_micro)]
        self.net.setdefault(key, ExactPosition()).trade(-taken.size, -taken.value_micro)
        entries = self.entries.setdefault(key, [])
        at_ns = taken.at_ns or (entries[-1].at_ns if entries else 0)
        behind = [number for number, entry in enumerate(entries) if entry.at_ns > at_ns]
        entry = Entry(at_ns, taken=taken, booked_ns=self.at_ns)
        entries.insert(behind[0] if behind else len(entries), entry)
        return self._walk(key)

    def _walk(self, key: InstrumentId) -> Parts:
        """Walk through everything from the start; give what owners lose otherwise than is known.

        Owners in the direction of a liquidation share it pro rata, by name, and its value and fee
        by what of theirs it closed; `unassigned` has what none of them held.
        """
        held: dict[BotId, int] = {}
        changed: Parts = []
        for entry in self.entries[key]:
            for owner, size in entry.sizes.items():
                held[owner] = held.get(owner, 0) + size
            if entry.taken is None:
                continue
            parts = _parts(held, entry.taken.size)
            changed += _differences(entry.taken, entry.parts, parts)
            entry.parts = parts
            for owner, size in parts.items():
                held[owner] = held.get(owner, 0) - size
        for part in changed:
            self.give(part.owner, key, -part.size, -part.value_micro)
        return changed

    @property
    def names(self) -> set[tuple[str, str]]:
        """Return what the venue did by itself and the journal has."""
        paid = {("funding", f"{one.instrument}:{one.stamp_ns}") for one in self.fundings.values()}
        return paid | {("liquidation", one.liquidation) for one in self.liquidations.values()}

    def counts(self) -> dict[str, int]:
        """Return what there was of it, for the summary of a run."""
        found = {
            "perpetual_fills": self.fills,
            "perpetual_flips": self.flips,
            "fundings": len(self.fundings),
            "liquidations": len(self.liquidations),
            "fills_behind_their_liquidation": self.late,
            "fundings_shared_anew": self.late_fundings,
        }
        return {name: count for name, count in found.items() if count}


Due = dict[BotId, tuple[Fraction, Fraction]]
"""The least and the most that is due to each owner."""

NOTHING = (Fraction(0), Fraction(0))


def _ranges(dues: list[dict[BotId, Fraction]], spare: Fraction) -> Due:
    """Return between what each owner's part lies, by any of these."""
    found: Due = {}
    for owner in {owner for due in dues for owner in due}:
        parts = [due.get(owner, Fraction(0)) for due in dues]
        found[owner] = min(parts) - spare, max(parts) + spare
    return found


class LiquidatedPart(msgspec.Struct, frozen=True):
    """What an owner lost of a liquidation: signed size and value, and what the venue kept."""

    owner: BotId
    size: int
    value_micro: int
    fee_micro: int


Parts = list[LiquidatedPart]
SignedFill = tuple[BotId, InstrumentId, int, int]
"""Whose, of what, its signed size and value."""


def _parts(held: dict[BotId, int], size: int) -> dict[BotId, int]:
    """Share a liquidation of a signed size among those who held in its direction."""
    there = {owner: held[owner] for owner in sorted(held) if held[owner] * size > 0}
    together = sum(there.values())
    if abs(together) < abs(size):
        return there | {UNASSIGNED: there.get(UNASSIGNED, 0) + size - together}
    parts, running, before = dict[BotId, int](), 0, 0
    for owner, own in there.items():
        running += own
        upto = size * running // together
        parts[owner], before = upto - before, upto
    return {owner: part for owner, part in parts.items() if part}


def _differences(
    taken: PositionLiquidated, known: dict[BotId, int], parts: dict[BotId, int]
) -> Parts:
    """Return what each owner loses more of a liquidation than was known: below it, gets back.

    Value and fee go along by the running sum; where that is above nothing it is rounded down, and
    what goes back is what had come.
    """
    running, values, fees, found = 0, 0, 0, list[LiquidatedPart]()
    for owner in sorted({*known, *parts}):
        more = parts.get(owner, 0) - known.get(owner, 0)
        running += more
        back = running * taken.size < 0
        value, fee = (
            -(whole * -running // taken.size) if back else whole * running // taken.size
            for whole in (taken.value_micro, taken.fee_micro)
        )
        if more:
            found.append(LiquidatedPart(owner, more, value - values, fee - fees))
        values, fees = value, fee
    return found
