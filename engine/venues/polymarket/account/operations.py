"""Operations of a wallet at Polymarket: signed, put on record, handed to the relayer, asked about.

What is signed carries the wallet's next number and a deadline. A number is used once, and after
the deadline the chain refuses what was signed: so of a submission without an answer it is known
at last that it took effect (the index of the chain shows it) or that it never will.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from engine.domain.effects import (
    AnyWalletEffect,
    ApproveTrading,
    MergePairs,
    QueryOperation,
    RedeemTokens,
    SplitCash,
)
from engine.domain.events import (
    OperationMoved,
    OperationNotFound,
    OperationState,
    PairsConverted,
    RedemptionsListed,
    VenueEvent,
)
from engine.domain.instruments import AccountId, Instrument, InstrumentId
from engine.domain.readings import plain_text
from engine.domain.unread import refuse_unread
from engine.errors import NotSent, OutcomeUnknown, PitbossError
from engine.gateway.door import OnNamed
from engine.venues.polymarket.account.orders import TradableMarket
from engine.venues.polymarket.account.outcomes import VenueRefusal
from engine.venues.polymarket.account.rows import balance_micro
from engine.venues.polymarket.account.sdk import RelayerCalls, Wire

S = 1_000_000_000
VALID_S = 600
"""How long the chain takes what was signed: the SDK's own ten minutes."""
INDEX_LAG_NS = 600 * S
"""By then the index shows what the chain took; it lags by seconds."""
CLOCKS_NS = 60 * S
"""How far the chain's clock may be behind ours."""
UNNAMED_NS = VALID_S * S + INDEX_LAG_NS + CLOCKS_NS
"""By then the index shows what left at once and lost its name with an end of the journal."""
NO_KEY = "this account has no relayer key: set its credential again with one, or do it at the venue"
_STATES = {
    "STATE_NEW": OperationState.SUBMITTED,
    "STATE_EXECUTED": OperationState.SUBMITTED,
    "STATE_MINED": OperationState.MINED,
    "STATE_CONFIRMED": OperationState.CONFIRMED,
    "STATE_FAILED": OperationState.FAILED,
    "STATE_INVALID": OperationState.FAILED,
}
_KINDS = {SplitCash: "split", MergePairs: "merge", RedeemTokens: "redeem"}


class Operations:
    """One account's operations of its wallet."""

    def __init__(
        self,
        account: AccountId,
        wire: Wire,
        market: Callable[[InstrumentId], TradableMarket],
        now_ns: Callable[[], int],
        *,
        refresh: Callable[[Instrument | None], Awaitable[None]],
        redemptions: Callable[[int], Awaitable[RedemptionsListed]],
    ) -> None:
        """`refresh` has the venue look at the chain again, for cash (None) or an instrument.

        `redemptions` asks what the wallet's tokens became since a time.
        """
        self._account = account
        self._wire = wire
        self._market = market
        self._refresh_balance = refresh
        self._redemptions = redemptions
        self._now_ns = now_ns
        self._begun: set[int] = set()
        """Operations this process has carried: their names cannot have been lost."""

    # -- asked for ---------------------------------------------------------------------------------

    async def operate(self, asked: AnyWalletEffect, named: OnNamed) -> Sequence[VenueEvent]:
        """Sign, have the name kept, submit once. Raises NotSent, OutcomeUnknown."""
        self._begun.add(asked.operation)
        relayer = self._relayer()
        try:
            calls = await self._calls(relayer, asked)
            if not calls:
                return [self._moved(asked, OperationState.CONFIRMED)]
            nonce = await relayer.nonce()
        except (VenueRefusal, PitbossError) as error:
            raise NotSent(f"it could not be prepared: {error}") from None
        until_s = self._now_ns() // S + VALID_S
        name, envelope = relayer.sign(calls, nonce, until_s, f"Pitboss {asked.operation}")
        await named(name)
        try:
            body = await relayer.submit(envelope)
        except VenueRefusal as refusal:
            raise _refused(refusal) from None
        state, names = _state(body, "transactionID", "transactionHash")
        return [self._moved(asked, state, *names)]

    def _relayer(self) -> RelayerCalls:
        if self._wire.relayer is None:
            raise NotSent(NO_KEY)
        return self._wire.relayer

    async def _calls(self, relayer: RelayerCalls, asked: AnyWalletEffect) -> list[Any]:
        if isinstance(asked, ApproveTrading):
            body = await self._wire.get_data("/v2/approvals", user=self._wire.wallet)
            return relayer.approvals(body)
        market = self._market(asked.instrument)
        kind, size = _KINDS[type(asked)], 0 if isinstance(asked, RedeemTokens) else asked.size
        tokens = market.instrument.tokens or ()
        v2 = any(map(self._wire.is_v2, tokens))
        if not (v2 and isinstance(asked, RedeemTokens)):
            call = relayer.pairs(kind, market.condition, size, neg_risk=market.neg_risk, v2=v2)
            return [call]
        await self._refresh_balance(market.instrument)
        held = [await self._held(token) for token in tokens]
        return [
            relayer.redeem_v2(market.condition, token, size)
            for token, size in zip(tokens, held, strict=True)
            if size
        ]

    async def _held(self, token: str) -> int:
        kind = self._wire.signature_type
        body = await self._wire.get(
            "/balance-allowance", asset_type="CONDITIONAL-V2", token_id=token, signature_type=kind
        )
        return balance_micro(body)

    # -- asked about -------------------------------------------------------------------------------

    async def operation(self, query: QueryOperation) -> Sequence[VenueEvent]:
        """Return what became of an operation; nothing where it cannot be said yet."""
        asked, name = query.asked, query.name
        if name is None:
            return await self._unnamed(query)
        relayer = self._relayer()
        state, on_chain = await self._relayer_state(relayer, query.transaction)
        if state in (OperationState.CONFIRMED, OperationState.FAILED):
            return await self._ended(query, state, on_chain)
        found: list[VenueEvent] = []
        if state is not None:
            found = [self._moved(asked, state, query.transaction, on_chain)]
        if not name.until_ns or self._now_ns() < name.until_ns + CLOCKS_NS:
            return found if name.until_ns else found or await self._used(relayer, query)
        return await self._used(relayer, query) or found

    async def _unnamed(self, query: QueryOperation) -> Sequence[VenueEvent]:
        """Say of what has no name that it has not left (law K), once a lost name could not hide it.

        A restored backup, or a journal that lost its end, may lack a name that it had.
        """
        asked = query.asked
        if asked.operation not in self._begun and not isinstance(asked, ApproveTrading):
            if self._now_ns() < query.asked_ns + UNNAMED_NS:
                return []
            if found := await self._listed(query):
                return found
        return [OperationNotFound(account=self._account, operation=asked.operation)]

    async def _relayer_state(
        self, relayer: RelayerCalls, transaction: str
    ) -> tuple[OperationState | None, str]:
        """Return (state, chain's name) as the relayer says; (None, "") = it does not know it."""
        if not transaction:
            return None, ""
        try:
            body = await relayer.transaction(transaction)
        except VenueRefusal as refusal:
            if refusal.status == 404:
                return None, ""
            raise _unread(refusal) from None
        state, (_, on_chain, reason) = _state(body, "transaction_id", "transaction_hash")
        return state, reason if state is OperationState.FAILED else on_chain

    async def _ended(
        self, query: QueryOperation, state: OperationState, detail: str
    ) -> Sequence[VenueEvent]:
        asked = query.asked
        if state is OperationState.FAILED:
            return [self._moved(asked, state, query.transaction, reason=detail or "it reverted")]
        await self._refresh(asked)
        events: list[VenueEvent] = [self._moved(asked, state, query.transaction, detail)]
        if isinstance(asked, MergePairs | SplitCash) and detail:
            return [*events, self._fact(asked, detail)]
        return events

    async def _used(self, relayer: RelayerCalls, query: QueryOperation) -> Sequence[VenueEvent]:
        """Say by the wallet's number and the index what became of a request without an answer."""
        asked, name = query.asked, query.name
        assert name is not None
        try:
            nonce = await relayer.nonce()
        except VenueRefusal as refusal:
            raise _unread(refusal) from None
        if nonce <= name.nonce:
            if not name.until_ns:
                return []  # it may be used yet
            return [self._never(query, "its deadline passed before the chain took it")]
        if isinstance(asked, ApproveTrading):
            body = await self._wire.get_data("/v2/approvals", user=self._wire.wallet)
            if relayer.approvals(body):
                return self._late(query)
            return [self._moved(asked, OperationState.CONFIRMED)]
        return await self._listed(query) or self._late(query)

    async def _listed(self, query: QueryOperation) -> Sequence[VenueEvent]:
        """Return what the index lists of an operation, and that it is confirmed; else nothing."""
        asked = query.asked
        assert not isinstance(asked, ApproveTrading)
        listed = await self._redemptions(query.asked_ns - CLOCKS_NS)
        # What is not listed is believed to have moved nothing: so it must be read whole.
        refuse_unread(listed.unread, "payments")
        facts = listed.redemptions if isinstance(asked, RedeemTokens) else listed.conversions
        for fact in facts:
            if fact.instrument != asked.instrument:
                continue
            if isinstance(fact, PairsConverted) and fact.size != _signed(asked):
                continue
            await self._refresh(asked)
            done = OperationState.CONFIRMED
            return [self._moved(asked, done, query.transaction, fact.transaction), fact]
        return []

    def _late(self, query: QueryOperation) -> Sequence[VenueEvent]:
        """Believe that it moved nothing once the index would show it."""
        assert query.name is not None
        could_ns = query.name.until_ns or query.asked_ns + VALID_S * S
        if self._now_ns() < could_ns + INDEX_LAG_NS:
            return []
        return [self._never(query, "another transaction of the wallet took its number")]

    def _never(self, query: QueryOperation, reason: str) -> OperationMoved:
        state = OperationState.FAILED
        return self._moved(query.asked, state, query.transaction, reason=reason)

    async def _refresh(self, asked: AnyWalletEffect) -> None:
        """Have the venue look at the chain: it takes orders by what it remembers of a wallet."""
        with contextlib.suppress(PitbossError):  # a refusal for want of funds has it look again
            await self._refresh_balance(None)
            if not isinstance(asked, ApproveTrading):
                await self._refresh_balance(self._market(asked.instrument).instrument)

    # -- words -------------------------------------------------------------------------------------

    def _moved(
        self,
        asked: AnyWalletEffect,
        state: OperationState,
        transaction: str = "",
        on_chain: str = "",
        reason: str = "",
    ) -> OperationMoved:
        return OperationMoved(
            account=self._account,
            operation=asked.operation,
            state=state,
            transaction=transaction,
            on_chain=on_chain,
            reason=reason,
        )

    def _fact(self, asked: MergePairs | SplitCash, on_chain: str) -> PairsConverted:
        return PairsConverted(
            account=self._account,
            transaction=on_chain,
            instrument=asked.instrument,
            size=_signed(asked),
            amount_micro=asked.amount_micro,
            at_ns=self._now_ns(),
        )


def _signed(asked: AnyWalletEffect) -> int:
    return asked.size if isinstance(asked, SplitCash) else -getattr(asked, "size", 0)


def _state(body: object, name: str, on_chain: str) -> tuple[OperationState, tuple[str, str, str]]:
    """Return (state, (relayer's name, chain's name, error)). Raises OutcomeUnknown for nonsense."""
    if not isinstance(body, Mapping):
        raise OutcomeUnknown("the relayer's answer is not an object")
    texts = [body.get(key) or "" for key in (name, on_chain, "error_msg")]
    state = _STATES.get(str(body.get("state")))
    if state is None or not texts[0] or not all(isinstance(text, str) for text in texts):
        raise OutcomeUnknown(f"the relayer's answer says no state: {plain_text(str(body)[:100])}")
    relayed, chain, reason = (plain_text(text[:300]) for text in texts)
    return state, (relayed, chain, reason)


def _refused(refusal: VenueRefusal) -> PitbossError:
    """Return what a refused submission means: a busy wallet, a number that is used, a wrong key."""
    if refusal.status in (400, 401, 403, 404, 429):
        return NotSent(f"the relayer refused it, {refusal.status}: {refusal.text}")
    return OutcomeUnknown(f"the relayer answered {refusal.status}: {refusal.text}")


def _unread(refusal: VenueRefusal) -> PitbossError:
    return OutcomeUnknown(f"the relayer answered {refusal.status}: {refusal.text}")
