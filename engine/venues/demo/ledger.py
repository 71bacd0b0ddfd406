"""Who owns what: cash, tokens, reservations, and the collateral behind complete sets.

A match is booked at once: what is given leaves the settled side, what is got is *pending* until
the settlement confirms it, and a failed one reverses both sides once. No account is ever short:
a sale takes settled tokens. Cash that buys tokens becomes the instrument's collateral, cash that
sales bring comes out of it; a transfer thereby moves nothing in sum, a mint of a pair locks exactly
one unit of currency per share, and a merge frees it. So at all times

    deposits = Σ cash + Σ pending cash + fees + Σ collateral + what perpetuals hold

to the micro-unit: a perpetual's losses that are not realised, and the insurance fund
(`margin_ledger`). A spot pair locks nothing: what the buyer of a match pays in the seller gets
out, so its collateral is 0 after every match, and what wallets hold of its base asset is what was
deposited of it. Every rule raises BrokenInvariant where it would be broken.
"""

from __future__ import annotations

import msgspec

from engine.domain.instruments import AccountId, InstrumentId, Leg, Side
from engine.errors import BrokenInvariant
from engine.venues.demo.orders import Fill


class Tokens(msgspec.Struct, gc=False):
    """One leg of one instrument in one wallet, in size increments."""

    settled: int = 0
    reserved: int = 0
    """Part of `settled` that open sales hold."""
    pending: int = 0


class ExchangeWallet(msgspec.Struct):
    """What one customer owns. Cash in micro-units."""

    cash: int = 0
    reserved: int = 0
    """Part of `cash` that open purchases hold."""
    pending: int = 0
    yes: dict[InstrumentId, Tokens] = {}
    no: dict[InstrumentId, Tokens] = {}
    base: dict[InstrumentId, Tokens] = {}
    """The base asset of each spot pair."""

    def held(self, leg: Leg) -> dict[InstrumentId, Tokens]:
        """Return what is held of one leg, by instrument."""
        if leg is Leg.BASE:
            return self.base
        return self.yes if leg is Leg.YES else self.no

    def tokens(self, instrument: InstrumentId, leg: Leg) -> Tokens:
        """Return the leg's entry, made where missing."""
        held = self.held(leg)
        tokens = held.get(instrument)
        if tokens is None:
            tokens = held[instrument] = Tokens()
        return tokens

    def free_tokens(self, instrument: InstrumentId, leg: Leg) -> int:
        """Return settled tokens no open sale holds."""
        tokens = self.held(leg).get(instrument)
        return 0 if tokens is None else tokens.settled - tokens.reserved


class LedgerSums(msgspec.Struct, frozen=True, kw_only=True):
    """The ledger in sums, for judges. `problems` is empty while every rule holds."""

    deposits: int
    cash: int
    pending: int
    reserved: int
    fees: int
    collateral: int
    margined: int
    """Cash that perpetuals hold: the insurance fund's, less what positions were opened for."""
    sets: dict[InstrumentId, tuple[int, int]]
    """Tokens outstanding per instrument: (YES, NO), settled and pending."""
    base: dict[InstrumentId, int]
    """What all wallets hold of each spot pair's base asset, settled and pending."""
    problems: tuple[str, ...]


class ExchangeLedger:
    """All wallets of the exchange."""

    __slots__ = ("base_deposits", "collateral", "deposits_micro", "fees_micro", "wallets")

    def __init__(self) -> None:
        self.wallets: dict[AccountId, ExchangeWallet] = {}
        self.collateral: dict[InstrumentId, int] = {}
        self.fees_micro = 0
        self.deposits_micro = 0
        self.base_deposits: dict[InstrumentId, int] = {}
        """What was deposited of each spot pair's base asset, in size increments."""

    def open(self, customer: AccountId) -> None:
        """Open an empty wallet. Raises BrokenInvariant where there is one."""
        if customer in self.wallets:
            raise BrokenInvariant(f"{customer} has a wallet already")
        self.wallets[customer] = ExchangeWallet()

    def move_cash(self, customer: AccountId, amount_micro: int) -> None:
        """Deposit (+) or withdraw (−)."""
        wallet = self.wallets[customer]
        if wallet.cash + amount_micro < wallet.reserved:
            raise BrokenInvariant(f"{customer} cannot withdraw more than its free cash")
        wallet.cash += amount_micro
        self.deposits_micro += amount_micro

    def move_base(self, customer: AccountId, instrument: InstrumentId, size: int) -> None:
        """Deposit (+) or withdraw (−) the base asset of a spot pair, in size increments."""
        tokens = self.wallets[customer].tokens(instrument, Leg.BASE)
        if tokens.settled + size < tokens.reserved:
            raise BrokenInvariant(f"{customer} cannot withdraw more than it has free")
        tokens.settled += size
        self.base_deposits[instrument] = self.base_deposits.get(instrument, 0) + size

    def reserve_cash(self, customer: AccountId, amount_micro: int) -> None:
        """Hold cash for a purchase, or let go of it (−)."""
        wallet = self.wallets[customer]
        reserved = wallet.reserved + amount_micro
        if reserved < 0 or (amount_micro > 0 and reserved > wallet.cash):
            raise BrokenInvariant(f"{customer}: {reserved} micro reserved of {wallet.cash}")
        wallet.reserved = reserved

    def reserve_tokens(
        self, customer: AccountId, instrument: InstrumentId, leg: Leg, size: int
    ) -> None:
        """Hold tokens for a sale, or let go of them (−)."""
        tokens = self.wallets[customer].tokens(instrument, leg)
        reserved = tokens.reserved + size
        if not 0 <= reserved <= tokens.settled:
            raise BrokenInvariant(f"{customer}: {reserved} tokens reserved of {tokens.settled}")
        tokens.reserved = reserved

    def book(self, fill: Fill, *, released: int) -> None:
        """Book one side of a match.

        `released` = what the order had reserved for it: micro-units of a purchase, size increments
        of a sale; 0 = nothing.
        """
        wallet = self.wallets[fill.customer]
        tokens = wallet.tokens(fill.instrument, fill.leg)
        if fill.side is Side.BUY:
            wallet.cash -= fill.amount_micro + fill.fee_micro
            tokens.pending += fill.size
            wallet.reserved -= released
            short = wallet.cash < wallet.reserved or wallet.reserved < 0
            self._lock(fill.instrument, fill.amount_micro)
        else:
            tokens.settled -= fill.size
            wallet.pending += fill.amount_micro - fill.fee_micro
            tokens.reserved -= released
            short = tokens.settled < tokens.reserved or tokens.reserved < 0
            self._lock(fill.instrument, -fill.amount_micro)
        if short:
            raise BrokenInvariant(f"{fill.customer} cannot cover fill {fill.id}")
        self.fees_micro += fill.fee_micro

    def confirm(self, fill: Fill) -> None:
        """Turn what the fill brought from pending into settled."""
        wallet = self.wallets[fill.customer]
        if fill.side is Side.BUY:
            tokens = wallet.tokens(fill.instrument, fill.leg)
            tokens.pending -= fill.size
            tokens.settled += fill.size
            left = tokens.pending
        else:
            amount = fill.amount_micro - fill.fee_micro
            wallet.pending -= amount
            wallet.cash += amount
            left = wallet.pending
        if left < 0:
            raise BrokenInvariant(f"fill {fill.id} was confirmed without being pending")

    def void(self, fill: Fill) -> None:
        """Reverse one side of a match whose settlement failed."""
        wallet = self.wallets[fill.customer]
        tokens = wallet.tokens(fill.instrument, fill.leg)
        if fill.side is Side.BUY:
            tokens.pending -= fill.size
            wallet.cash += fill.amount_micro + fill.fee_micro
            left = tokens.pending
            self._lock(fill.instrument, -fill.amount_micro)
        else:
            wallet.pending -= fill.amount_micro - fill.fee_micro
            tokens.settled += fill.size
            left = wallet.pending
            self._lock(fill.instrument, fill.amount_micro)
        if left < 0:
            raise BrokenInvariant(f"fill {fill.id} was voided without being pending")
        self.fees_micro -= fill.fee_micro

    def convert(
        self, customer: AccountId, instrument: InstrumentId, size: int, amount_micro: int
    ) -> bool:
        """Split cash into `size` pairs, or merge −`size` pairs into cash. False = not enough."""
        wallet = self.wallets[customer]
        if wallet.cash - wallet.reserved < amount_micro:
            return False
        yes = wallet.tokens(instrument, Leg.YES)
        no = wallet.tokens(instrument, Leg.NO)
        if min(yes.settled - yes.reserved, no.settled - no.reserved) + size < 0:
            return False
        wallet.cash -= amount_micro
        yes.settled += size
        no.settled += size
        self._lock(instrument, amount_micro)
        return True

    def redeem(
        self,
        customer: AccountId,
        instrument: InstrumentId,
        payout_yes_micro: int,
        share: int,
        asked: tuple[int, int] | None = None,
    ) -> tuple[int, int, int]:
        """Turn settled tokens of a resolved instrument into cash.

        `share` is one share in size increments. `asked` = how many of (YES, NO), at most what is
        settled; None = all. Returns (YES, NO, amount in micro-units).
        """
        wallet = self.wallets[customer]
        sizes = []
        amount = 0
        legs = ((wallet.yes, payout_yes_micro), (wallet.no, 10**6 - payout_yes_micro))
        for leg, (held, payout) in enumerate(legs):
            tokens = held.get(instrument)
            size = 0 if tokens is None else tokens.settled
            size = size if asked is None else min(size, asked[leg])
            if size * payout % share:
                raise BrokenInvariant(f"{instrument}: {size} tokens do not pay in whole micros")
            amount += size * payout // share
            sizes.append(size)
            if tokens is not None:
                if tokens.reserved:
                    raise BrokenInvariant(f"{customer} still sells the resolved {instrument}")
                tokens.settled -= size
                if not (tokens.pending or tokens.settled):
                    del held[instrument]
        wallet.cash += amount
        self._lock(instrument, -amount)
        return sizes[0], sizes[1], amount

    def _lock(self, instrument: InstrumentId, amount_micro: int) -> None:
        self.collateral[instrument] = self.collateral.get(instrument, 0) + amount_micro

    def sums(self, margined: int = 0, margin_fees: int = 0) -> LedgerSums:
        """Add everything up and name every rule that does not hold.

        `margined` is what perpetuals hold of the cash, `margin_fees` what they cost.
        """
        sets: dict[InstrumentId, tuple[int, int]] = {}
        base: dict[InstrumentId, int] = {}
        problems: list[str] = []
        cash = pending = reserved = 0
        for customer, wallet in self.wallets.items():
            cash += wallet.cash
            pending += wallet.pending
            reserved += wallet.reserved
            if not (0 <= wallet.reserved <= wallet.cash and wallet.pending >= 0):
                problems.append(f"{customer}: cash out of bounds")
            for leg, held in enumerate((wallet.yes, wallet.no, wallet.base)):
                for instrument, tokens in held.items():
                    if not (0 <= tokens.reserved <= tokens.settled and tokens.pending >= 0):
                        problems.append(f"{customer}: tokens of {instrument} out of bounds")
                    size = tokens.settled + tokens.pending
                    if leg == 2:
                        base[instrument] = base.get(instrument, 0) + size
                        continue
                    yes, no = sets.get(instrument, (0, 0))
                    sets[instrument] = (yes + size, no) if leg == 0 else (yes, no + size)
        collateral = sum(self.collateral.values())
        fees = self.fees_micro + margin_fees
        if self.deposits_micro != cash + pending + fees + collateral + margined:
            problems.append("deposits are not cash, pending, fees, collateral and margin")
        for instrument in sorted({*base, *self.base_deposits}):
            total, deposited = base.get(instrument, 0), self.base_deposits.get(instrument, 0)
            if total != deposited:
                problems.append(f"{instrument}: wallets hold {total} of {deposited} deposited")
        return LedgerSums(
            deposits=self.deposits_micro,
            cash=cash,
            pending=pending,
            reserved=reserved,
            fees=fees,
            collateral=collateral,
            margined=margined,
            sets=sets,
            base=base,
            problems=tuple(problems),
        )
