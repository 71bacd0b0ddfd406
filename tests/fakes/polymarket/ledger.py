"""Who owns what as the venue *believes*: cached balances, allowances, and orders' money.

The exchange's ledger is the truth. The venue checks orders against a cache that learns of a
settlement only later, or when asked to look (polymarket.md §5.2, §7 failure 2).
"""

from __future__ import annotations

from typing import Any

from engine.domain.fills import FillState
from engine.domain.instruments import AccountId, Leg, Side
from engine.runtime.refusals import NOT_ENOUGH
from engine.venues.demo.timeline import TimelineEntry
from tests.fakes.polymarket import contracts
from tests.fakes.polymarket.exchange import VenueExchange
from tests.fakes.polymarket.listing import Listed
from tests.fakes.polymarket.refusal import Refused
from tests.fakes.polymarket.settings import S, Settings
from tests.fakes.polymarket.signing import Wallets, wallets_of

MAX = 2**256 - 1
CASH = ""
"""The cache's name for pUSD; tokens go by their ids."""


class VenueLedger:
    """Opens wallets, and believes what it saw last. An actor: it wakes to look again."""

    name = "balances"

    def __init__(self, exchange: VenueExchange, settings: Settings) -> None:
        self._exchange = exchange
        self._settings = settings
        self._cache: dict[tuple[AccountId, str], int] = {}
        self._due: dict[int, AccountId] = {}
        self._planned: dict[AccountId, int] = {}
        self._count = 0
        self.tokens: dict[str, tuple[Listed, Leg]] = {}
        self.signers: dict[AccountId, str] = {}
        self.allowances: dict[AccountId, int] = {}
        self.income: list[tuple[AccountId, str, int, int]] = []
        """Rewards and rebates that were paid: (wallet, kind, micro-units, when)."""
        self.undeployed: set[str] = set()
        exchange.join(self)

    # -- wallets -----------------------------------------------------------------------------------

    def ensure(self, wallet: str, signer: str) -> AccountId:
        """Return a wallet's account; one never seen before is filled by the faucet."""
        account = AccountId(wallet)
        if account not in self.signers:
            self._exchange.open_account(account, self._settings.faucet_micro)
            self.signers[account] = signer
        return account

    def accounts_of(self, signer: str) -> list[AccountId]:
        """Return every account a signer trades with."""
        return [account for account, owner in self.signers.items() if owner == signer]

    def wallet(self, signer: str, signature_type: int) -> AccountId:
        """Return which wallet a signer means by a signature type."""
        known: Wallets = wallets_of(signer)
        if signature_type != 3:
            plain = (known.eoa, known.proxy, known.safe)
            if signature_type not in {0, 1, 2}:
                raise Refused("Invalid signature type")
            return self.ensure(plain[signature_type], signer)
        # The newer of the two deposit wallets, where that is the one it trades with.
        newer = AccountId(known.deposit_beacon)
        uups = known.deposit_uups
        chosen = newer if newer in self.signers or uups in self.undeployed else uups
        return self.ensure(chosen, signer)

    # -- balances ----------------------------------------------------------------------------------

    def on_chain(self, account: AccountId, asset: str) -> int:
        """Return what the chain says now: matched but unsettled trades have not moved anything."""
        wallet = self._exchange.order_entry.ledger.wallets[account]
        if asset == CASH:
            return wallet.cash + self._unsettled(account, None)
        market, leg = self.tokens[asset]
        return wallet.tokens(market.instrument, leg).settled + self._unsettled(account, asset)

    def _unsettled(self, account: AccountId, asset: str | None) -> int:
        found = 0
        for transaction in self._exchange.worker.pending.values():
            for fill in transaction.fills:
                if fill.customer != account:
                    continue
                if asset is None and fill.side is Side.BUY:
                    found += fill.amount_micro + fill.fee_micro
                elif asset is not None and fill.side is Side.SELL:
                    market, leg = self.tokens[asset]
                    same = market.instrument == fill.instrument and leg is fill.leg
                    found += fill.size if same else 0
        return found

    def believed(self, account: AccountId, asset: str) -> int:
        """Return the cached balance; looked up where nothing is cached."""
        known = self._cache.get((account, asset))
        return self.refresh(account, asset) if known is None else known

    def refresh(self, account: AccountId, asset: str) -> int:
        """Look at the chain and remember."""
        found = self._cache[account, asset] = self.on_chain(account, asset)
        return found

    def pay(self, account: AccountId, kind: str, micro: int) -> None:
        """Pay a wallet a reward or a rebate; what the venue believes follows when it looks."""
        self._exchange.deposit(account, micro)
        self.income.append((account, kind, micro, self._exchange.now_ns))

    def settled(self, account: AccountId, state: FillState) -> None:
        """Plan to look again some time after a trade of this account ended."""
        if state not in {FillState.CONFIRMED, FillState.FAILED} or account not in self.signers:
            return
        timeline = self._exchange.timeline
        if self._planned.get(account) == timeline.now_ns:
            return  # another fill of the same transaction planned it
        self._planned[account] = timeline.now_ns
        self._count += 1
        self._due[self._count] = account
        at_ns = timeline.now_ns + int(self._settings.balance_lag_s * S)
        timeline.set(at_ns, TimelineEntry.ACTOR, self.name, self._count)

    def wake(self, topic: int, now_ns: int) -> None:  # noqa: ARG002 - an actor's door
        """Look again at everything cached of an account."""
        account = self._due.pop(topic)
        for owner, asset in list(self._cache):
            if owner == account:
                self.refresh(account, asset)

    def state(self) -> bytes:
        """Nothing survives: this venue lives in memory."""
        return b""

    def restore(self, state: bytes) -> None:
        """Nothing to take back."""

    # -- orders ------------------------------------------------------------------------------------

    def check(self, account: AccountId, asset: str, needed: int) -> None:
        """Refuse an order the venue believes its owner can not pay. Raises Refused."""
        allowance = self.allowances.get(account, MAX)
        if allowance < needed:
            details = f"allowance: {allowance}, order amount: {needed}"
            raise Refused(f"{NOT_ENOUGH}: the allowance is not enough -> {details}")
        balance, taken = self.believed(account, asset), self._reserved(account, asset)
        if balance - taken < needed:
            details = f"balance: {balance}, sum of matched orders: {taken}, order amount: {needed}"
            raise Refused(f"{NOT_ENOUGH}: the balance is not enough -> {details}")

    def _reserved(self, account: AccountId, asset: str) -> int:
        wallet = self._exchange.order_entry.ledger.wallets[account]
        if asset == CASH:
            return wallet.reserved
        market, leg = self.tokens[asset]
        return wallet.tokens(market.instrument, leg).reserved

    def answer(self, account: AccountId, asset: str) -> dict[str, Any]:
        """Return `/balance-allowance`, in base units."""
        allowance = str(self.allowances.get(account, MAX))
        balance = str(self.believed(account, asset))
        if self._settings.quirks.old_allowance:
            return {"balance": balance, "allowance": allowance}
        spenders = (
            contracts.STANDARD_EXCHANGE,
            contracts.NEG_RISK_EXCHANGE,
            contracts.EXCHANGE_V3,
            contracts.NEG_RISK_ADAPTER,
        )
        return {"balance": balance, "allowances": dict.fromkeys(spenders, allowance)}
