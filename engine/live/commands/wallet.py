"""Operations of a wallet by hand: asked for, and answered when they are at their end."""

from __future__ import annotations

import msgspec

from engine.domain.commands import Answered
from engine.domain.commands.wallet import Approve, Merge, Redeem, Split
from engine.domain.effects import (
    AnyWalletEffect,
    ApproveTrading,
    MergePairs,
    RedeemTokens,
    SplitCash,
)
from engine.domain.events import (
    Event,
    OperationMoved,
    OperationState,
    PairsConverted,
    RedemptionsListed,
    TokensRedeemed,
)
from engine.domain.inputs import WalletOperated
from engine.domain.instruments import Instrument, InstrumentId
from engine.domain.money import MICRO
from engine.errors import BadInput
from engine.executor.wallet import WalletOperation
from engine.live.commands.registry import Pending, command, part, runner_of, trading_runner_of
from engine.live.engine import Engine
from engine.runtime.account_runner import AccountRunner

ANSWER_NS_MAX = 25 * 1_000_000_000
"""After this without an end the answer says how far it is."""

STAMPS_NS = 60 * 1_000_000_000
"""A chain's clock stamps whole seconds, and may be behind ours."""


class WalletRequest(msgspec.Struct):
    """One operation by hand that waits for its end."""

    runner: AccountRunner
    effect: AnyWalletEffect
    number: int
    title: str
    since_ns: int
    answer: Answered
    instrument: InstrumentId | None
    failed: str = ""
    moved: dict[str, int] = {}
    """Cash that moved for the instrument since it was asked for, by transaction."""

    def receive(self, event: Event) -> None:
        """Take the venue's words about it."""
        if isinstance(event, OperationMoved) and event.operation == self.number:
            if event.state is OperationState.FAILED:
                self.failed = event.reason
        elif isinstance(event, RedemptionsListed):
            for one in (*event.redemptions, *event.conversions):
                self.receive(one)
        elif isinstance(event, TokensRedeemed | PairsConverted):
            young = event.at_ns >= self.since_ns - STAMPS_NS
            if young and event.instrument == self.instrument and _is_of(self.effect, event):
                self.moved[event.transaction] = event.amount_micro


def _is_of(effect: AnyWalletEffect, event: TokensRedeemed | PairsConverted) -> bool:
    """Say whether an operation moves what is listed: one just before it may be listed with it."""
    if isinstance(event, TokensRedeemed):
        return isinstance(effect, RedeemTokens)
    sign = 1 if isinstance(effect, SplitCash) else -1
    return isinstance(effect, SplitCash | MergePairs) and event.size == sign * effect.size


@part
class Wallets:
    """People's operations of one engine's wallets."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._requests: list[WalletRequest] = []
        engine.watchers.append(self.watch)

    @command(Redeem)
    def redeem(self, given: Redeem, _who: str) -> Pending:
        """Redeem a resolved market's tokens; answered when they are paid."""
        return self._ask(
            RedeemTokens(account=given.account, operation=0, instrument=given.instrument)
        )

    @command(Merge)
    def merge(self, given: Merge, _who: str) -> Pending:
        """Merge pairs into cash; answered when they are gone."""
        if given.size is None:
            wallet = runner_of(self._engine, given.account).core.executor.wallet
            size, amount = wallet.pairs(given.instrument, given.owner)
        else:
            size = given.size
            amount = _amount(self._engine, given.account, given.instrument, size)
        return self._ask(
            MergePairs(
                account=given.account,
                operation=0,
                instrument=given.instrument,
                size=size,
                amount_micro=amount,
                owner=given.owner,
            )
        )

    @command(Split)
    def split(self, given: Split, _who: str) -> Pending:
        """Split cash into pairs; answered when they are there."""
        trading_runner_of(self._engine, given.account)
        amount = _amount(self._engine, given.account, given.instrument, given.size)
        return self._ask(
            SplitCash(
                account=given.account,
                operation=0,
                instrument=given.instrument,
                size=given.size,
                amount_micro=amount,
                owner=given.owner,
            )
        )

    @command(Approve)
    def approve(self, given: Approve, _who: str) -> Pending:
        """Give the venue's contracts the leave they lack; answered when it stands."""
        return self._ask(ApproveTrading(account=given.account, operation=0))

    def _ask(self, effect: AnyWalletEffect) -> Pending:
        """Ask for an operation; answered by how it ended. Raises BadInput where none is asked."""
        pending = Pending()
        answer = pending.done_or_failed
        runner, now_ns = runner_of(self._engine, effect.account), self._engine.clock.now_ns()
        wallet = runner.core.executor.wallet
        if refused := wallet.refusal(effect, now_ns):
            raise BadInput(refused)
        runner.receive(WalletOperated(runner.account, effect), now_ns)
        made = wallet.state.last
        title = wallet.state.operations[made].title
        instrument = None if isinstance(effect, ApproveTrading) else effect.instrument
        request = WalletRequest(runner, effect, made, title, now_ns, answer, instrument)
        self._requests.append(request)
        runner.on_report[f"operation {made}"] = request.receive
        return pending

    def watch(self, now_ns: int) -> None:
        """Answer what is at its end, and what takes too long to wait for."""
        for request in list(self._requests):
            standing = request.runner.core.executor.wallet.state.operations.get(request.number)
            late = now_ns - request.since_ns > ANSWER_NS_MAX
            if standing is not None and not late:
                continue
            self._requests.remove(request)
            request.runner.on_report.pop(f"operation {request.number}", None)
            request.answer(*_answer(request, standing))


def _answer(request: WalletRequest, standing: WalletOperation | None) -> tuple[bool, str]:
    currency = request.runner.core.executor.currency
    if standing is None:
        if request.failed:
            return False, f"{request.title} had no effect: {request.failed}"
        if request.instrument is None:
            return True, f"{request.title} is confirmed"
        if not request.moved:
            return False, f"{request.title} never reached the venue: try again"
        amount = sum(request.moved.values()) / MICRO
        return True, f"{request.title} is confirmed: {amount:,.2f} {currency}"
    if standing.doubt_ns is not None:
        return False, (
            f"{request.title} is UNKNOWN: {standing.reason or 'no answer'}; the venue is asked, it "
            "is never sent twice"
        )
    where = standing.on_chain or standing.transaction
    named = f" as {where}" if where else ""
    return True, (
        f"{request.title} is {standing.state or 'asked for'}{named}; it is booked when the venue "
        "has confirmed it"
    )


def _amount(engine: Engine, account: str, key: InstrumentId, size: int) -> int:
    terms = _terms(engine, account, key)
    if why := terms.not_counted_in(runner_of(engine, account).core.executor.currency):
        raise BadInput(why)
    if size <= 0 or size % terms.lot:
        raise BadInput(f"{size} is not a whole number of lots of {terms.lot} of {key}")
    amount = terms.product.pair_micro(size)
    if amount is None:
        raise BadInput(f"{key} has one leg: there are no pairs to split or merge")
    return amount


def _terms(engine: Engine, account: str, key: InstrumentId) -> Instrument:
    ledger = runner_of(engine, account).core.executor.ledger
    terms = ledger.state.instruments.get(key)
    if terms is None:
        raise BadInput(f"{key} is not known to account {account!r}: nothing of it was traded here")
    return terms
