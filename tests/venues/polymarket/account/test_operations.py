"""Redeem, merge, split and approve at the fake venue: each once, whatever the relayer does."""

from __future__ import annotations

import re
from typing import Any

import pytest

from engine.domain.effects import (
    AnyWalletEffect,
    ApproveTrading,
    MergePairs,
    RedeemTokens,
    SplitCash,
)
from engine.domain.events import OperationMoved, OperationNamed
from engine.domain.instruments import MANUAL, Leg
from engine.errors import BadInput
from engine.venues.polymarket.account.operations import Operations
from engine.venues.polymarket.account.sdk import outcome_of
from tests.fakes.polymarket.listing import Listed, identify
from tests.venues.polymarket.adapter import LIVE, SHARE
from tests.venues.polymarket.kit import BRIDGE, CUP, RAIN, by_slug
from tests.venues.polymarket.wallet_desk import FAUCET, STEPS, USD, WalletDesk, wallet_desk


def by_hand(desk: WalletDesk, kind: type, slug: str = RAIN, pairs: int = 0) -> int:
    """Ask for an operation; give its number."""
    given: dict[str, Any] = {"account": LIVE, "operation": 0}
    if kind is not ApproveTrading:
        given["instrument"] = by_slug(desk.served, slug).instrument
    if pairs:
        given |= {"size": pairs * SHARE, "amount_micro": pairs * USD, "owner": MANUAL}
    desk.engine_run.do(desk.executor.operate(kind(**given), desk.now_ns()))
    return desk.executor.wallet.state.last


def reasons(desk: WalletDesk) -> list[str]:
    return [one.reason for one, _ in desk.journal if isinstance(one, OperationMoved) and one.reason]


def submitted(desk: WalletDesk) -> int:
    return len(desk.served.venue.relayer.sent)


async def test_what_leaves_is_on_record_by_its_name_before() -> None:
    async with wallet_desk() as desk:
        market = by_slug(desk.served, RAIN)
        await desk.learn(market)
        number = by_hand(desk, SplitCash, pairs=30)
        await desk.run(25)

        events = [one for one, _ in desk.journal if getattr(one, "operation", 0) == number]
        assert [type(one) for one in events[:3]] == [SplitCash, OperationNamed, OperationMoved]
        (named,) = [one for one, _ in desk.journal if isinstance(one, OperationNamed)]
        assert (named.name.nonce, re.match("0x[0-9a-f]{64}$", named.name.identity)) != (0, None)
        assert named.name.until_ns > desk.now_ns()
        assert desk.cash() == (FAUCET - 30 * USD, FAUCET - 30 * USD)
        desk.check()


@pytest.mark.sampled(3)
@pytest.mark.parametrize("slug", [RAIN, CUP, BRIDGE], ids=["v1", "neg_risk", "v2"])
@pytest.mark.parametrize("kind", [3, 2], ids=["deposit", "safe"])
async def test_split_merge_and_redeem_through_the_relayer(slug: str, kind: int) -> None:
    async with wallet_desk(kind=kind) as desk:
        market = by_slug(desk.served, slug)
        await desk.learn(market)
        by_hand(desk, SplitCash, slug, 30)
        await desk.run(25)
        by_hand(desk, MergePairs, slug, 10)
        await desk.run(25)
        assert desk.executor.wallet.pairs(market.instrument, MANUAL)[0] == 20 * SHARE
        await desk.resolve(market, 1.0)
        await desk.until_quiet()

        assert desk.cash() == (FAUCET, FAUCET)
        assert submitted(desk) == 3
        desk.check()


def test_an_outcome_is_told_by_its_token_and_not_by_its_place() -> None:
    """The first outcome of a market may be "Down": its token is NO, and its number is 0."""
    first, second = identify(Listed(slug="v2", version="v2"), 7, 1).tokens
    assert [outcome_of(token) for token in (second, first)] == [1, 0]
    for token in ("123", identify(Listed(slug="v1"), 7, 1).tokens[0], "", "x"):
        with pytest.raises(BadInput, match="names no outcome"):
            outcome_of(token)


@pytest.mark.parametrize("forgotten", [None, 0, 1], ids=["whole", "without YES", "without NO"])
async def test_both_outcomes_of_a_drawn_market_are_redeemed(
    monkeypatch: pytest.MonkeyPatch, forgotten: int | None
) -> None:
    """Router.redeem burns the amount of the outcome it names: one that is left out pays nothing."""
    told = Operations._held

    async def held(self: Operations, token: str) -> int:
        tokens = by_slug(desk.served, BRIDGE).tokens
        return (
            0 if forgotten is not None and token == tokens[forgotten] else await told(self, token)
        )

    monkeypatch.setattr(Operations, "_held", held)
    async with wallet_desk(kind=3) as desk:
        market = by_slug(desk.served, BRIDGE)
        await desk.learn(market)
        by_hand(desk, SplitCash, BRIDGE, 50)
        await desk.run(25)
        by_hand(desk, MergePairs, BRIDGE, 20)
        await desk.run(25)
        await desk.resolve(market, 0.5)
        await desk.run(60)
        paid = 30 if forgotten is None else 15
        assert desk.cash()[1] == FAUCET - 30 * USD + paid * USD


@pytest.mark.sampled(2)
@pytest.mark.parametrize("step", STEPS)
async def test_an_engine_that_dies_with_a_redemption_goes_on_with_it(step: str) -> None:
    async with wallet_desk() as desk:
        market = by_slug(desk.served, RAIN)
        await desk.buy(market, Leg.YES, 10)
        await desk.run(40)
        desk.dies = step
        await desk.resolve(market, 1.0)
        await desk.until_quiet()

        assert (desk.deaths, desk.dies) == (1, "")
        assert submitted(desk) == 1
        assert desk.cash()[0] == FAUCET - desk.executor.ledger.state.fees_micro + 5 * USD
        desk.check()


@pytest.mark.sampled(3)
@pytest.mark.parametrize("step", ["asked", "named", "submitted", "mined", "confirmed", "paid"])
@pytest.mark.parametrize("kind", [MergePairs, SplitCash])
async def test_a_conversion_under_way_is_done_once_through_a_death(kind: type, step: str) -> None:
    async with wallet_desk() as desk:
        await desk.learn(by_slug(desk.served, RAIN))
        by_hand(desk, SplitCash, pairs=30)
        await desk.run(25)
        desk.dies = step
        by_hand(desk, kind, pairs=10)
        await desk.run(40)
        await desk.until_quiet()

        moved = 10 if kind is SplitCash else -10
        if step in ("asked", "named"):  # it never left: a person asks again
            moved = 0
        assert desk.cash()[0] == FAUCET - (30 + moved) * USD
        desk.check()


@pytest.mark.parametrize("step", ["asked", "submitted"])
async def test_a_name_that_was_lost_gives_nothing_back_before_the_chain_must_have_told(
    step: str,
) -> None:
    async with wallet_desk() as desk:
        await desk.learn(by_slug(desk.served, RAIN))
        by_hand(desk, SplitCash, pairs=30)
        await desk.run(25)
        desk.dies = step
        number = by_hand(desk, MergePairs, pairs=10)
        while not desk.engine_run.dead:
            await desk.engine_run.turn()
        lost = [one for one in desk.journal if getattr(one[0], "operation", 0) == number]
        desk.journal[:] = [one for one in desk.journal if one not in lost[1:]]
        desk.venue._operations._begun.clear()  # another process goes on
        sent = submitted(desk)
        if step == "asked":
            await desk.run(600)
            assert desk.executor.ledger.state.reservations
        await desk.until_quiet()

        assert submitted(desk) == sent
        assert desk.cash()[0] == FAUCET - (20 if step == "submitted" else 30) * USD
        desk.check()


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("script", "sent"),
    [("silent_relayer", 1), ("deaf_relayer", 1), ("mad_relayer", 1), ("mute_relayer", 1)],
)
async def test_a_relayer_without_a_word_is_asked_and_nothing_is_sent_twice(
    script: str, sent: int
) -> None:
    async with wallet_desk() as desk:
        market = by_slug(desk.served, RAIN)
        await desk.buy(market, Leg.NO, 10)
        await desk.run(40)
        await desk.fault(script, times=4 if script == "mute_relayer" else 1)
        await desk.resolve(market, 0.0)
        await desk.until_quiet()

        assert submitted(desk) == sent
        unknown = [alert.text for alert in desk.alerts if alert.kind == "operation_unknown"]
        assert len(unknown) == (script != "mute_relayer")
        desk.check()


@pytest.mark.parametrize(("ends", "why"), [("stuck", "deadline passed"), ("failed", "reverted")])
async def test_what_never_took_effect_is_tried_again_when_that_is_proven(
    ends: str, why: str
) -> None:
    async with wallet_desk(venue={"relayer_ends": [ends]}) as desk:
        market = by_slug(desk.served, RAIN)
        await desk.buy(market, Leg.YES, 10)
        await desk.run(40)
        await desk.resolve(market, 1.0)
        await desk.until_quiet()

        assert submitted(desk) == 2
        assert why in reasons(desk)[0]
        desk.check()


async def test_a_busy_wallet_and_a_used_number_leave_everything_as_it_is() -> None:
    async with wallet_desk() as desk:
        market = by_slug(desk.served, RAIN)
        await desk.learn(market)
        before = desk.executor.ledger.cash_free_micro
        relayer = desk.served.venue.relayer
        signer = desk.venue.wire.signer
        elsewhere = relayer.take(signer, desk.wallet, [], relayer.nonces.get(signer, 0))
        by_hand(desk, SplitCash, pairs=5)
        await desk.run(2)
        assert "wallet busy" in reasons(desk)[0]
        assert desk.executor.ledger.cash_free_micro == before

        await desk.run(20)
        assert elsewhere.done
        by_hand(desk, SplitCash, pairs=5)
        await desk.run(25)
        assert desk.executor.ledger.cash_free_micro == before - 5 * USD
        desk.check()


async def test_what_leave_is_missing_is_given_and_then_nothing_more() -> None:
    async with wallet_desk() as desk:
        given = {"signer": desk.venue.wire.signer, "wallet": desk.wallet}
        await desk.served.control("wallet", **given, allowance=0)
        by_hand(desk, ApproveTrading)
        await desk.run(25)
        assert not desk.served.venue.ledger.allowances
        by_hand(desk, ApproveTrading)
        await desk.run(3)

        assert submitted(desk) == 1
        assert not desk.executor.wallet.state.operations


async def test_a_person_who_splits_and_merges_at_the_venue_is_booked() -> None:
    async with wallet_desk() as desk:
        market = by_slug(desk.served, RAIN)
        await desk.learn(market)
        given = {"signer": desk.venue.wire.signer, "wallet": desk.wallet}
        await desk.served.control("wallet", **given, condition=market.condition, split=7)
        await desk.run(200, 5)

        assert desk.executor.ledger.holding(market.instrument).yes.settled == 7 * SHARE
        desk.alerts.clear()  # a difference was told before its reason was found
        desk.check()


@pytest.mark.parametrize(("kind", "relayer"), [(3, ""), (0, "relay")], ids=["no_key", "eoa"])
async def test_without_a_relayer_nothing_leaves_and_a_person_is_told(
    kind: int, relayer: str
) -> None:
    async with wallet_desk(kind=kind, relayer=relayer) as desk:
        await desk.learn(by_slug(desk.served, RAIN))
        by_hand(desk, SplitCash, pairs=5)
        await desk.run(3)

        assert "at the venue" in reasons(desk)[0]
        assert submitted(desk) == 0
        desk.check()


def test_every_operation_is_known_to_the_journal() -> None:
    assert {RedeemTokens, MergePairs, SplitCash, ApproveTrading} == set(AnyWalletEffect.__args__)
