"""What the paper account owns: cash, tokens, and what is held back for open orders.

Whole micro-units and size increments. What we pay is rounded up, what we get is rounded down, per
fill, exactly as `Instrument.cost_micro` and `proceeds_micro` do (the divisor is looked up once).

Binary and spot: a BUY spends free cash, a SELL needs settled tokens (law E). Perpetual: either side
opens, what it opens is backed by its margin (its value by the leverage), and a fill moves what it
closed and its fee as cash, never its value. `margin` has funding and liquidation.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.domain.assets import Money, leaves
from engine.domain.instruments import Instrument, Side
from engine.domain.products.position import SignedPosition
from engine.venues.paper.queue import QueuedOrder

_BUY, _SELL = Side.BUY, Side.SELL


@dataclass(slots=True)
class Wallet:
    """Cash of one currency in micro-units. `cash` is settled; open orders still count in it."""

    cash: int = 0
    pending: int = 0
    """Proceeds of matched sells that are not confirmed."""
    reserved: int = 0
    """Held for open orders."""
    blocked: int = 0
    """Margin of open positions (perpetuals)."""

    @property
    def free(self) -> int:
        return self.cash - self.reserved - self.blocked


@dataclass(slots=True)
class PaperHolding:
    """One leg of one instrument in size increments; `settled` is negative for a short perpetual."""

    settled: int = 0
    pending: int = 0
    reserved: int = 0
    """Held for open SELLs."""
    covering: int = 0
    """Part of a short that open BUYs will cover (perpetuals)."""
    dust: int = 0
    """What fees in the traded asset left of an increment, in units of `Instrument.base`."""
    cost: int = 0
    """What the open position was opened for, below 0 short (perpetuals)."""
    margin: int = 0
    """What of `Wallet.blocked` is for it."""

    @property
    def empty(self) -> bool:
        return not (self.settled or self.pending or self.reserved or self.covering)


class LegFunds:
    """The wallet and the holding one order works with, and the arithmetic between them."""

    __slots__ = ("_divisor", "_maker_fees", "_signed", "holding", "instrument", "wallet")

    def __init__(self, instrument: Instrument, wallet: Wallet, holding: PaperHolding) -> None:
        self.wallet = wallet
        self.holding = holding
        self.relist(instrument)

    def relist(self, instrument: Instrument) -> None:
        """Take the instrument's metadata; what every order needs of it is looked up once."""
        self.instrument = instrument
        self._divisor = instrument.value_divisor
        self._signed = instrument.product.signed
        self._maker_fees = instrument.fees.maker_rate_ppm != 0

    def value_up(self, price: int, size: int) -> int:
        """Return price · size in micro-units, rounded up."""
        return -(-price * size // self._divisor)

    # -- holds -------------------------------------------------------------------------------------

    def closing(self, side: Side, size: int) -> int:
        """Return how much of an order is covered by tokens (or a short) no other order holds."""
        holding = self.holding
        if side is _SELL:
            return min(size, max(0, holding.settled - holding.reserved))
        if self._signed:
            return min(size, max(0, -holding.settled - holding.covering))
        return 0

    def against(self, side: Side) -> int:
        """Return how much of a signed position a side could close at most, other orders or not."""
        settled = self.holding.settled if self._signed else 0
        return max(0, settled if side is _SELL else -settled)

    def try_hold(self, resting: QueuedOrder) -> bool:
        """Hold back what the whole remaining order may use; False = not there, nothing is held."""
        order = resting.order
        side, size = order.side, resting.remaining
        opening, closing = size, 0
        if side is _SELL or self._signed:
            closing = self.closing(side, size)
            opening -= closing
            if opening and not self._signed:
                return False
        if opening:
            price, wallet = order.price, self.wallet
            cash = -(-price * opening // self._divisor)
            if self._signed:
                cash = self._backing(cash)
            if self._maker_fees:
                cash += self.maker_fee(side, price, opening)
            if cash > wallet.cash - wallet.reserved - wallet.blocked:
                return False
            resting.cash_held = cash
            wallet.reserved += cash
        if closing:
            self._tie(resting, closing)
        return True

    def need(self, resting: QueuedOrder, taking: list[tuple[int, int]]) -> int | None:
        """Return the free cash an order needs now; None = it sells tokens that are not there.

        `taking` are the (leg price, size) fills it would get at once; the rest is counted at its
        limit. A BUY needs at least its limit's full value, as the venue asks for it.
        """
        order = resting.order
        side, size, price = order.side, resting.remaining, order.price
        closing = self.closing(side, size)
        if side is _SELL and closing < size and not self._signed:
            return None
        opening = size - closing
        spent = 0
        for at, part in taking:
            size -= part
            opened = max(0, part - closing)
            closing -= part - opened
            if opened:
                spent += self._backing(self.value_up(at, opened))
                if side is _BUY or self._signed:
                    spent += self.instrument.taker_fee_micro(at, opened)
        opened = size - closing
        if opened > 0:
            spent += self._backing(self.value_up(price, opened))
            spent += self.maker_fee(side, price, opened)
        return max(spent, self._backing(self.value_up(price, opening))) if opening else 0

    def _backing(self, value: int) -> int:
        """Return what opening for a value takes of free cash: all of it, or its margin."""
        return self.instrument.product.margin_micro(value) if self._signed else value

    def maker_fee(self, side: Side, price: int, size: int) -> int:
        """Return the maker fee paid on top; a SELL's comes out of what it brings, if it does."""
        if not self._maker_fees or (side is _SELL and not self._signed):
            return 0
        return self.instrument.maker_fee_micro(price, size)

    def release(self, resting: QueuedOrder) -> None:
        self.wallet.reserved -= resting.cash_held
        resting.cash_held = 0
        if resting.tokens_held:
            self._tie(resting, -resting.tokens_held)

    def use(self, resting: QueuedOrder, size: int) -> None:
        """Release the holds of `size` that is filling now; call before `remaining` is lowered."""
        tokens = min(resting.tokens_held, size)
        opening = resting.remaining - resting.tokens_held
        if size > tokens and opening > 0:
            cash = resting.cash_held * (size - tokens) // opening
            resting.cash_held -= cash
            self.wallet.reserved -= cash
        if tokens:
            self._tie(resting, -tokens)

    def _tie(self, resting: QueuedOrder, tokens: int) -> None:
        """Hold tokens (or a part of a short) for an order, or let go of them (−)."""
        resting.tokens_held += tokens
        if resting.order.side is _SELL:
            self.holding.reserved += tokens
        else:
            self.holding.covering += tokens

    # -- fills -------------------------------------------------------------------------------------

    def money(self, side: Side, price: int, size: int, fee_micro: int) -> int:
        """Return what a fill changes in cash: negative for a BUY, fee included."""
        if side is _BUY:
            return -self.value_up(price, size) - fee_micro
        return price * size // self._divisor - fee_micro

    def left(self, size: int, fee: Money) -> int:
        """Return what a buy brings of `size` after a fee that is taken of it; keep the dust."""
        step: int = 10 ** (fee.asset.decimals - self.instrument.size_decimals)
        gone = leaves(fee.amount, self.holding.dust, step)
        self.holding.dust += gone * step - fee.amount
        return size - gone

    def affords(self, side: Side, money: int) -> bool:
        """Say whether a maker fill can still be paid: rounding per fill may use up the last micro.

        A venue ends such an order (CANCELED_NOT_ENOUGH_BALANCE); cash never goes below zero.
        """
        if side is _SELL or self._signed:
            return True
        return self.wallet.cash + money >= 0

    def fill(
        self, side: Side, size: int, money: int, *, at_once: bool, fee_micro: int = 0
    ) -> tuple[int, int]:
        """Book a fill: what leaves goes now, what comes is pending unless `at_once`.

        `fee_micro` is what of `money` was the fee. Return the (tokens, cash) that settlement still
        has to bring.
        """
        wallet, holding = self.wallet, self.holding
        if self._signed:
            self._trade(size if side is _BUY else -size, -money - fee_micro, fee_micro)
            return 0, 0
        if side is _BUY:
            wallet.cash += money
            if at_once:
                holding.settled += size
                return 0, 0
            holding.pending += size
            return size, 0
        holding.settled -= size
        if at_once:
            wallet.cash += money
            return 0, 0
        wallet.pending += money
        return 0, money

    def _trade(self, size: int, flow: int, fee_micro: int) -> None:
        """Move a position by a signed size and its signed value, and its margin with it."""
        wallet, holding = self.wallet, self.holding
        position = SignedPosition(holding.settled, holding.cost)
        wallet.cash += position.apply_fill(size, flow).realised - fee_micro
        holding.settled = position.size
        self.restore(position.cost)

    def close(self, value: int) -> None:
        """Have the venue close the whole position for its signed value, without a fee."""
        self._trade(-self.holding.settled, -value, 0)

    def restore(self, cost: int) -> None:
        """Take what the position was opened for, and block its margin."""
        margin = self.instrument.product.margin_micro(cost)
        self.wallet.blocked += margin - self.holding.margin
        self.holding.cost, self.holding.margin = cost, margin

    def settle(self, tokens: int, cash: int) -> None:
        self.holding.pending -= tokens
        self.holding.settled += tokens
        self.wallet.pending -= cash
        self.wallet.cash += cash

    def redeem(self, payout_micro: int) -> tuple[int, int]:
        """Turn settled tokens into cash at what one of them pays, rounded down.

        Return (tokens, micro-units).
        """
        holding = self.holding
        tokens, holding.settled = holding.settled, 0
        amount = tokens * payout_micro // 10**self.instrument.size_decimals
        self.wallet.cash += amount
        return tokens, amount
