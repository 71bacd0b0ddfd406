"""Margin accounts of the exchange: signed positions, funding, and liquidation by the venue's law.

An account has one balance behind all its perpetuals (cross margin): the cash of its wallet, of
which what orders of other markets reserve is not free for them. A match moves no cash but what it
realises and its fee: a buyer's position grows by what the seller's shrinks. An account whose
balance and open PnL are below the maintenance margin of all its positions is liquidated as a whole:
the insurance fund takes its positions over at their cost with all that is left of its balance,
which is to close them at the bankruptcy price. So at all times, over all accounts and the fund,

    deposits = Σ balance − Σ cost + fees        and of each perpetual        Σ size = 0

to the micro-unit, where a cost is what a position was opened for, below 0 of a short. What rounding
leaves of a funding goes to the fund.
"""

from __future__ import annotations

from collections.abc import Container

import msgspec

from engine.domain.instruments import AccountId, Instrument, InstrumentId
from engine.domain.money import ceil_div, money_text
from engine.domain.products.funding import RateType, funding_cash, funding_name
from engine.domain.products.margin import (
    TierTable,
    initial_margin,
    liquidated,
    maintenance,
    unrealised,
)
from engine.domain.products.position import SignedPosition
from engine.errors import BadInput, BrokenInvariant
from engine.venues.demo.ledger import ExchangeWallet

FUND = AccountId("demo-insurance")
"""Who takes over what is liquidated; its own positions have no margin."""

FUNDINGS_KEPT_MAX = 10_000


class WorkingSizes(msgspec.Struct, gc=False):
    """What one account's working orders of one perpetual may still fill, in increments."""

    bids: int = 0
    asks: int = 0

    def worst(self, held: int) -> int:
        """Return the largest position the orders can make of what is held: either side fills.

        So an order that only reduces reserves nothing (Binance, one-way: the larger of position
        and bids, and of position and asks).
        """
        return max(abs(held), abs(held + self.bids), abs(held - self.asks))


class MarginAccount(msgspec.Struct, gc=False):
    """One account: what it may lose, and what it holds. Money in micro-units."""

    wallet: ExchangeWallet
    leverage: int = 1
    positions: dict[InstrumentId, SignedPosition] = {}
    working: dict[InstrumentId, WorkingSizes] = {}

    @property
    def balance(self) -> int:
        """Its cash: what is realised."""
        return self.wallet.cash

    @balance.setter
    def balance(self, amount_micro: int) -> None:
        self.wallet.cash = amount_micro

    def worst(self, key: InstrumentId) -> int:
        """Return the largest position in a perpetual that may come to be."""
        held = self.positions.get(key)
        working = self.working.get(key, _IDLE)
        return working.worst(held.size if held is not None else 0)


_IDLE = WorkingSizes()


class Perpetual(msgspec.Struct):
    """One perpetual as margin sees it."""

    instrument: Instrument
    tiers: TierTable
    mark_e8: int


class LiquidatedPosition(msgspec.Struct, frozen=True, gc=False):
    """A position the fund took over, at the mark that did it.

    `realised_micro` less `fee_micro` is what the account's cash moved by.
    """

    customer: AccountId
    instrument: InstrumentId
    size: int
    """What was held, below 0 short."""
    mark_e8: int
    realised_micro: int
    """What closing at the mark brought, but never more of a loss than the account could pay."""
    value_micro: int
    """What it was opened for and this: the signed value it was closed for."""
    fee_micro: int
    """What was left of the account: the fund keeps it."""


class MarginLedger:
    """All margin accounts of the exchange, in one currency."""

    def __init__(self) -> None:
        self.accounts: dict[AccountId, MarginAccount] = {FUND: MarginAccount(ExchangeWallet())}
        self.perpetuals: dict[InstrumentId, Perpetual] = {}
        self.deposits_micro = 0
        self.fees_micro = 0
        self.funded: dict[str, None] = {}

    def listed(self, instrument: Instrument, tiers: TierTable, mark_e8: int) -> None:
        """Take a perpetual with its tiers and its first mark."""
        if mark_e8 <= 0:
            raise BadInput(f"{instrument.id}: a mark of {mark_e8} is not above 0")
        self.perpetuals[instrument.id] = Perpetual(instrument, tiers, mark_e8)

    def open(self, customer: AccountId, wallet: ExchangeWallet, leverage: int) -> None:
        """Let a wallet's cash be margin; one that is open already stays as it is."""
        if customer not in self.accounts:
            self.accounts[customer] = MarginAccount(wallet, leverage)

    def deposit(self, customer: AccountId, amount_micro: int) -> None:
        """Bring (+) cash, or take free cash away (−)."""
        self.open(customer, ExchangeWallet(), 1)
        account = self.accounts[customer]
        if amount_micro < 0 and self.free_micro(customer) + amount_micro < 0:
            raise BrokenInvariant(f"{customer} cannot withdraw more than it has free")
        account.balance += amount_micro
        self.deposits_micro += amount_micro

    # -- what an account may do --------------------------------------------------------------------

    def equity_micro(self, customer: AccountId) -> int:
        """Return the margin balance: cash and open PnL at the marks."""
        account = self.accounts[customer]
        return account.balance + sum(self._pnl(key, held) for key, held in _open(account))

    def maintenance_micro(self, customer: AccountId) -> int:
        """Return what an account must keep for all its positions."""
        total = 0
        for key, held in _open(self.accounts[customer]):
            of = self.perpetuals[key]
            total += maintenance(of.instrument.contract, of.tiers, held.size, of.mark_e8)
        return total

    def free_micro(self, customer: AccountId) -> int:
        """Return what may open positions or leave: equity without the initial margin of all.

        Working orders count as if those of one side filled, the worse one. Open profit does not
        count: it may be gone before an order fills.
        """
        account, reserved = self.accounts[customer], 0
        for key in {**account.positions, **account.working}:
            of, worst = self.perpetuals[key], account.worst(key)
            reserved += initial_margin(of.instrument.contract, worst, of.mark_e8, account.leverage)
        kept = account.wallet.reserved + reserved
        return min(account.balance, self.equity_micro(customer)) - kept

    def sizes(self, customer: AccountId) -> list[tuple[InstrumentId, int]]:
        """Return what an account holds, below 0 short."""
        account = self.accounts.get(customer)
        return [(key, held.size) for key, held in _open(account)] if account is not None else []

    def size(self, customer: AccountId, key: InstrumentId) -> int:
        """Return what an account holds of a perpetual, below 0 short."""
        account = self.accounts.get(customer)
        held = account.positions.get(key) if account is not None else None
        return held.size if held is not None else 0

    def reserve(self, customer: AccountId, key: InstrumentId, size: int) -> str:
        """Reserve margin for an order: a bid of +size, an ask of −size; say why it is refused.

        Empty = it is reserved. What only reduces is never refused.
        """
        account, of = self.accounts[customer], self.perpetuals[key]
        before = account.worst(key)
        self._work(account, key, size, 1)
        worst = account.worst(key)
        if worst <= before:
            return ""
        top, bottom = of.instrument.contract.value(worst, of.mark_e8)
        allowed = of.tiers.leverage_max(ceil_div(top, bottom))
        free = self.free_micro(customer)
        why = ""
        if allowed < account.leverage:
            why = (
                f"a position of {of.instrument.size_text(worst)} allows a leverage of {allowed}, "
                f"not {account.leverage}"
            )
        elif free < 0:
            why = f"it lacks {money_text(-free)} of initial margin"
        if why:
            self._work(account, key, size, -1)
        return why

    def hold(self, customer: AccountId, key: InstrumentId, size: int) -> None:
        """Reserve margin for what rests of an order that was looked at when it came."""
        self._work(self.accounts[customer], key, size, 1)

    def release(self, customer: AccountId, key: InstrumentId, size: int) -> None:
        """Let go of what an order reserved, as far as it has filled or ended. Fills come first."""
        self._work(self.accounts[customer], key, size, -1)

    def _work(self, account: MarginAccount, key: InstrumentId, size: int, sign: int) -> None:
        working = account.working.setdefault(key, WorkingSizes())
        if size > 0:
            working.bids += sign * size
        else:
            working.asks -= sign * size
        if min(working.bids, working.asks) < 0:
            raise BrokenInvariant(f"{key}: more margin is released than orders reserved")

    # -- what happens ------------------------------------------------------------------------------

    def match(
        self, key: InstrumentId, buyer: AccountId, seller: AccountId, price: int, size: int
    ) -> None:
        """Book both sides of a match; its value is a whole number of micro-units."""
        value, rest = divmod(price * size, self.perpetuals[key].instrument.value_divisor)
        if rest or size <= 0:
            raise BrokenInvariant(f"{key}: {size} at {price} is no whole number of micro-units")
        for customer, side in ((buyer, 1), (seller, -1)):
            self._trade(customer, key, side * size, side * value)

    def charge(self, customer: AccountId, fee_micro: int) -> None:
        """Take a fee."""
        self.accounts[customer].balance -= fee_micro
        self.fees_micro += fee_micro

    def mark(self, key: InstrumentId, mark_e8: int) -> list[LiquidatedPosition]:
        """Move a mark; give whom it liquidated."""
        self.set_mark(key, mark_e8)
        return self.liquidate()

    def set_mark(self, key: InstrumentId, mark_e8: int) -> None:
        """Move a mark. Liquidate behind it."""
        if mark_e8 <= 0:
            raise BadInput(f"{key}: a mark of {mark_e8} is not above 0")
        self.perpetuals[key].mark_e8 = mark_e8

    def fund(
        self, key: InstrumentId, stamp_ns: int, rate: int, rate_type: RateType = RateType.REGULAR
    ) -> dict[AccountId, int]:
        """Move the funding of a stamp at the present mark, once; give what each got or paid.

        Call `liquidate` behind it. BadInput for a second one of the stamp and rate type.
        """
        name, of = funding_name(key, stamp_ns, rate_type), self.perpetuals[key]
        if name in self.funded:
            raise BadInput(f"{key}: {rate_type} funding of this stamp is paid already")
        self.funded[name] = None
        if len(self.funded) > FUNDINGS_KEPT_MAX:
            del self.funded[next(iter(self.funded))]
        paid = {
            customer: funding_cash(of.instrument.contract, held.size, of.mark_e8, rate)
            for customer, account in self.accounts.items()
            if (held := account.positions.get(key)) is not None and held.size
        }
        for customer, cash in paid.items():
            self.accounts[customer].balance += cash
        self.accounts[FUND].balance -= sum(paid.values())
        return paid

    def liquidate(self, among: Container[AccountId] | None = None) -> list[LiquidatedPosition]:
        """Let the fund take over every account that is below its maintenance margin.

        `among` None = all accounts are looked at. Working orders reserve nothing any more: the
        caller ends them.
        """
        taken: list[LiquidatedPosition] = []
        for customer, account in self.accounts.items():
            if (among is None or customer in among) and self.due(customer):
                taken += self._take_over(customer, account)
        return taken

    def due(self, customer: AccountId) -> bool:
        """Say whether an account is to be liquidated: it holds something and is below margin."""
        if customer == FUND or not _open(self.accounts[customer]):
            return False
        return liquidated(self.equity_micro(customer), self.maintenance_micro(customer))

    def forgive(self, customer: AccountId) -> int:
        """Let the fund pay the debt of an account that holds nothing; return how much it was.

        A position closed far from its mark may leave one.
        """
        account = self.accounts[customer]
        debt = max(-account.balance, 0)
        if debt and not _open(account):
            self._seize(account)
            return debt
        return 0

    # -- inside ------------------------------------------------------------------------------------

    def _take_over(self, customer: AccountId, account: MarginAccount) -> list[LiquidatedPosition]:
        """Close all positions at the marks: the fund gets them, and what is left or owed."""
        taken, cash = [], account.balance
        for key, held in _open(account):
            pnl = self._pnl(key, held)
            mark_e8 = self.perpetuals[key].mark_e8
            taken.append(
                LiquidatedPosition(customer, key, held.size, mark_e8, pnl, held.cost + pnl, 0)
            )
            cash += pnl
            self._trade(FUND, key, held.size, held.cost)
            held.size = held.cost = 0
        last = taken[-1]
        spared = max(-cash, 0)
        taken[-1] = msgspec.structs.replace(
            last,
            realised_micro=last.realised_micro + spared,
            value_micro=last.value_micro + spared,
            fee_micro=max(cash, 0),
        )
        self._seize(account)
        account.working.clear()
        return taken

    def _seize(self, account: MarginAccount) -> None:
        self.accounts[FUND].balance += account.balance
        account.balance = 0

    def _trade(self, customer: AccountId, key: InstrumentId, size: int, flow: int) -> None:
        account = self.accounts[customer]
        held = account.positions.setdefault(key, SignedPosition())
        account.balance += held.apply_fill(size, flow).realised

    def _pnl(self, key: InstrumentId, held: SignedPosition) -> int:
        of = self.perpetuals[key]
        return unrealised(of.instrument.contract, held.exposure, of.mark_e8)

    def owed_micro(self) -> int:
        """Return what the fund has and what positions were opened for: cash that is in no wallet.

        Deposits of the whole exchange are this, the cash of its wallets, and fees.
        """
        held = [one for account in self.accounts.values() for one in account.positions.values()]
        return self.accounts[FUND].balance - sum(one.cost for one in held)

    def problems(self) -> list[str]:
        """Name every rule of margin accounts alone that does not hold."""
        have = sum(one.balance for name, one in self.accounts.items() if name != FUND)
        balanced = self.deposits_micro == have + self.owed_micro() + self.fees_micro
        found = [] if balanced else ["deposits are not balances, costs and fees"]
        return found + self.uneven()

    def uneven(self) -> list[str]:
        """Name every perpetual whose longs are not its shorts, and every account below margin."""
        found = []
        for key in self.perpetuals:
            sizes = (account.positions.get(key) for account in self.accounts.values())
            if total := sum(one.size for one in sizes if one is not None):
                found.append(f"{key}: longs and shorts differ by {total}")
        below = [customer for customer in self.accounts if self.due(customer)]
        return found + [f"{customer} is below its maintenance margin" for customer in below]


def _open(account: MarginAccount) -> list[tuple[InstrumentId, SignedPosition]]:
    return [(key, held) for key, held in account.positions.items() if held.size]
