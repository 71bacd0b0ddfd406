"""Transfers: what one owner of an account gives another, at a stated price."""

from __future__ import annotations

from engine.domain.commands import MANUAL
from engine.domain.commands.trading import TransferHolding
from engine.domain.events import HoldingTransferred
from engine.domain.instruments import BotId, Instrument
from engine.domain.legs import traded
from engine.errors import BadInput
from engine.executor.executor import Executor
from engine.live.commands.registry import Done, command, runner_of
from engine.live.engine import Engine


@command(TransferHolding)
def transfer(engine: Engine, given: TransferHolding, who: str) -> Done:
    """Give tokens of one owner to another. Raises BadInput where that cannot be."""
    runner = runner_of(engine, given.account)
    executor = runner.core.executor
    terms = executor.ledger.state.instruments.get(given.instrument)
    if terms is None:
        raise BadInput(f"nothing of {given.instrument} is known at {given.account}")
    if why := terms.not_counted_in(executor.currency):
        raise BadInput(why)
    if executor.recovering:
        raise BadInput(
            f"{given.account} is still being reconciled with its venue: ask again in a moment"
        )
    if why := _refusal(engine, executor, terms, given):
        raise BadInput(why)
    short = executor.ledger.owned(terms.id, given.from_owner).leg(given.leg).settled < 0
    runner.report(
        HoldingTransferred(
            account=given.account,
            instrument=given.instrument,
            leg=given.leg,
            size=given.size,
            price=given.price,
            from_owner=given.from_owner,
            to_owner=given.to_owner,
            who=who,
        )
    )
    runner.settle(engine.clock.now_ns())
    return Done(
        f"{terms.size_text(given.size)}{traded(given.leg)}{' short' * short} of "
        f"{given.instrument} went from "
        f"{given.from_owner} to {given.to_owner} at {terms.price_words(given.price)}"
    )


def _refusal(engine: Engine, executor: Executor, terms: Instrument, given: TransferHolding) -> str:
    """Return why nothing is transferred, as a sentence; empty = it can be."""
    giver, taker = given.from_owner, given.to_owner
    if giver == taker:
        return f"{giver} cannot give to itself"
    if taker != MANUAL and not _trades_here(engine, executor, taker):
        return f"{taker} is no bot of {executor.account}: give it to one, or to {MANUAL}"
    if given.leg not in terms.product.legs:
        return f"{terms.id} has the legs {', '.join(terms.product.legs)}, not {given.leg}"
    if not 0 < given.price < terms.product.end:
        return (
            f"{terms.price_words(given.price)} is no price: it must be {terms.product.range_text}"
        )
    own = executor.ledger.owned(terms.id, giver).leg(given.leg)
    held = abs(own.settled) if terms.product.signed else own.settled
    free = held - own.reserved
    if not 0 < given.size <= free:
        return (
            f"{terms.size_text(free)}{traded(given.leg)} of {giver} are settled and free, "
            f"{terms.size_text(given.size)} were to go"
        )
    return ""


def _trades_here(engine: Engine, executor: Executor, owner: BotId) -> bool:
    bot_runner = engine.bot_runners.get(owner)
    return bot_runner is not None and bot_runner.runner.account == executor.account
