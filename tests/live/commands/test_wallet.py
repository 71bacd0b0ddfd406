"""Operations of a wallet by hand: asked once, answered at their end by what moved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from engine.domain.commands.wallet import Approve, Merge, Redeem, Split
from engine.domain.effects import (
    ApproveTrading,
    MergePairs,
    QueryOperation,
    RedeemTokens,
    SplitCash,
)
from engine.domain.events import (
    Event,
    InstrumentListed,
    InstrumentResolved,
    OperationMoved,
    OperationState,
    PairsConverted,
    RedemptionsListed,
    TokensRedeemed,
    VenueEvent,
)
from engine.domain.instruments import AccountId, InstrumentId
from engine.errors import OutcomeUnknown
from engine.gateway.door import OnNamed
from engine.live.commands import wallet
from storage.commands import CommandState
from tests.live.commands.test_orders import SHARE, HandDesk, Takes
from tests.test_distance import DEMO, ONE

USD = 1_000_000
FAILED, CONFIRMED = OperationState.FAILED, OperationState.CONFIRMED


class Relays(Takes):
    """Does what a wallet is asked for as `says`: what is told of it, or why nobody knows."""

    def __init__(self) -> None:
        super().__init__(20)
        self.says: OperationState | Exception = CONFIRMED
        self.asked: list[Any] = []
        self.facts: list[Any] = []

    async def operate(self, asked: Any, _: OnNamed) -> Sequence[VenueEvent]:
        self.asked.append(asked)
        if isinstance(self.says, Exception):
            raise self.says
        told: list[Any] = [self.moved(asked)]
        if self.says is CONFIRMED:
            self.facts += _facts(asked)
            told = [*self.facts, *told]
        return told

    def moved(self, asked: Any) -> OperationMoved:
        reason = "the wallet reverted it" if self.says is FAILED else ""
        assert isinstance(self.says, OperationState)
        facts = _facts(asked) if self.says is CONFIRMED else []
        return OperationMoved(
            account=DEMO, operation=asked.operation, state=self.says, reason=reason,
            transaction="0xcarried", on_chain=getattr(facts[0], "transaction", "") if facts else "",
        )  # fmt: skip

    async def operation(self, _: QueryOperation) -> Sequence[VenueEvent]:
        return ()

    async def redemptions(self, since_ns: int) -> RedemptionsListed:
        return RedemptionsListed(account=DEMO, since_ns=since_ns, redemptions=())


def _facts(asked: Any) -> list[Event]:
    match asked:
        case RedeemTokens(instrument=key):
            return [
                TokensRedeemed(
                    account=DEMO, transaction="0xpaid", instrument=key, amount_micro=20 * USD,
                    yes=20 * SHARE, no=0, at_ns=2**62,
                )
            ]  # fmt: skip
        case MergePairs(instrument=key, size=size, amount_micro=amount):
            size = -size
        case SplitCash(instrument=key, size=size, amount_micro=amount):
            pass
        case _:
            return []
    return [
        PairsConverted(
            account=DEMO, transaction=f"0x{size}", instrument=key, size=size, amount_micro=amount,
            at_ns=2**62,
        )
    ]  # fmt: skip


class WalletDesk(HandDesk):
    """A desk that holds 20 YES; its bot rests, and nobody reads a socket."""

    def __init__(self, home: Path) -> None:
        super().__init__(home, room=0)
        self.venue: Any = Relays()

    @property
    def executor(self) -> Any:
        return self.engine.runners[DEMO].core.executor


async def test_a_split_and_a_merge_are_answered_with_what_moved(tmp_path: Path) -> None:
    async with WalletDesk(tmp_path) as desk:
        await desk.holds()
        cash = desk.executor.ledger.cash_free_micro
        said = await desk.asked(Split(account=DEMO, instrument=ONE.id, size=4 * SHARE))
        assert (said.state, "4.00 pUSD" in said.answer) == (CommandState.DONE, True)
        assert desk.executor.ledger.cash_free_micro == cash - 4 * USD
        said = await desk.asked(Merge(account=DEMO, instrument=ONE.id))
        assert (said.state, "4.00 pUSD" in said.answer) == (CommandState.DONE, True)
        assert desk.executor.ledger.cash_free_micro == cash
        split, merge = desk.venue.asked
        assert (split.size, merge.size) == (4 * SHARE, 4 * SHARE)
        assert merge.operation > split.operation
        desk.executor.ledger.check()


async def test_a_redemption_is_answered_when_it_is_paid(tmp_path: Path) -> None:
    async with WalletDesk(tmp_path) as desk:
        await desk.holds()
        desk.executor.wallet.automate(None, None)
        told = InstrumentResolved(instrument=ONE.id, payout_yes_micro=USD, source="test")
        desk.engine.runners[DEMO].market((told,), desk.engine.clock.now_ns())
        cash = desk.executor.ledger.cash_free_micro
        said = await desk.asked(Redeem(account=DEMO, instrument=ONE.id))
        assert (said.state, "20.00 pUSD" in said.answer) == (CommandState.DONE, True)
        assert desk.executor.ledger.cash_free_micro == cash + 20 * USD
        again = await desk.asked(Redeem(account=DEMO, instrument=ONE.id))
        assert "nothing of" in again.answer
        assert len(desk.venue.asked) == 1


async def test_an_approval_moves_nothing_and_is_done_when_it_is_confirmed(tmp_path: Path) -> None:
    async with WalletDesk(tmp_path) as desk:
        said = await desk.asked(Approve(account=DEMO))
        assert (said.state, "approval is confirmed" in said.answer) == (CommandState.DONE, True)
        assert isinstance(desk.venue.asked[0], ApproveTrading)


async def test_a_failure_is_told_in_the_venues_words_and_everything_is_free_again(
    tmp_path: Path,
) -> None:
    async with WalletDesk(tmp_path) as desk:
        await desk.holds()
        desk.venue.says, cash = FAILED, desk.executor.ledger.cash_free_micro
        said = await desk.asked(Split(account=DEMO, instrument=ONE.id, size=4 * SHARE))
        assert said.state is CommandState.FAILED
        assert "had no effect: the wallet reverted it" in said.answer
        assert desk.executor.ledger.cash_free_micro == cash


@pytest.mark.parametrize(
    ("says", "words"),
    [
        (OutcomeUnknown("the line broke"), "is UNKNOWN: the line broke; the venue is asked"),
        (OperationState.SUBMITTED, "is submitted as 0xcarried; it is booked when"),
    ],
)
async def test_an_answer_that_takes_too_long_says_how_far_it_is_and_asks_for_nothing_twice(
    says: Any, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wallet, "ANSWER_NS_MAX", 2 * 10**8)
    async with WalletDesk(tmp_path) as desk:
        await desk.holds()
        desk.venue.says = says
        said = await desk.asked(Split(account=DEMO, instrument=ONE.id, size=4 * SHARE))
        assert words in said.answer
        more = await desk.asked(Approve(account=DEMO))
        assert (more.state, "one thing at a time" in more.answer) == (CommandState.REFUSED, True)
        assert len(desk.venue.asked) == 1


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (Approve(account=AccountId("gone")), "there is no account 'gone'"),
        (Redeem(account=DEMO, instrument=ONE.id), "is redeemable"),
        (Merge(account=DEMO, instrument=ONE.id), "0 pairs"),
        (Merge(account=DEMO, instrument=InstrumentId("demo:other"), size=SHARE), "is not known"),
        (Split(account=DEMO, instrument=ONE.id, size=1), "not a whole number of lots"),
        (Split(account=DEMO, instrument=ONE.id, size=10**12), " are free"),
    ],
)
async def test_what_cannot_be_is_refused_before_the_venue_is_asked(
    command: Any, why: str, tmp_path: Path
) -> None:
    async with WalletDesk(tmp_path) as desk:
        desk.engine.runners[DEMO].market(
            (InstrumentListed(instrument=ONE),), desk.engine.clock.now_ns()
        )
        said = await desk.asked(command)
        assert (said.state, desk.venue.asked) == (CommandState.REFUSED, [])
        assert why in said.answer
