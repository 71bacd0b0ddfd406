"""Figures of one account for people: what it holds and what it uses of every limit.

Readings of the ledger, the gate and the exposure book; nothing here waits or changes anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from engine.domain.decisions import Unit
from engine.domain.events import BookMarked
from engine.domain.instruments import BotId, InstrumentId
from engine.executor.executor import Executor
from engine.executor.holdings import Holding, mid_value_micro
from storage.telemetry import HoldingSeen, LimitUse

SUBJECTS_MAX = 8
"""Instruments and markets told per limit, the most used ones."""

MS = 1_000_000


def holdings_of(executor: Executor, owners: Mapping[InstrumentId, str]) -> list[HoldingSeen]:
    """Return every instrument the ledger keeps, held or flat; `owners` says whose it is."""
    state = executor.ledger.state
    return [
        _holding(executor, held, owners.get(key) or executor.owner(key) or "", executor.mark(key))
        for key, held in state.holdings.items()
    ]


def _holding(executor: Executor, held: Holding, bot: str, mark: BookMarked | None) -> HoldingSeen:
    instrument = executor.ledger.state.instruments[held.instrument]
    return HoldingSeen(
        account=executor.account,
        instrument=held.instrument,
        mode=executor.mode,
        currency=executor.currency,
        bot=bot,
        yes_settled=held.yes.settled,
        yes_pending=held.yes.pending,
        no_settled=held.no.settled,
        no_pending=held.no.pending,
        yes_cost_micro=held.yes.cost_micro,
        no_cost_micro=held.no.cost_micro,
        value_micro=mid_value_micro(held, instrument, mark),
        mid2=None if mark is None or held.flat else mark.mid2,
        marked_ns=None if mark is None or held.flat else mark.two_sided_ns,
        realised_micro=held.realised_micro,
        fees_micro=held.fees_micro,
        payout_yes_micro=held.payout_yes_micro,
    )


def uses_of(executor: Executor, bots: Iterable[BotId], now_ns: int) -> list[LimitUse]:
    """Return what the account uses of each limit that has a use of its own at any moment.

    Largest and smallest order have none: they judge one order.
    """
    gate = executor.gate
    limits, breakers = gate.limits, gate.breakers
    anchor, peak = executor.anchors_micro
    equity = executor.equity_micro(now_ns)
    fall = max(0, peak - equity)
    amounts = (
        ("daily_loss_max", max(0, anchor - equity), limits.daily_loss_max),
        ("drawdown_max", fall, limits.drawdown_max),
        ("kill_drawdown_max", fall, limits.kill_drawdown_max),
        ("exposure_account_max", gate.exposure.account_micro(), limits.exposure_account_max),
        ("exposure_total_max", gate.exposure.total_micro(), limits.exposure_total_max),
    )
    return [
        *(
            LimitUse(name=name, used=used, limit_value=limit.micro(anchor), unit=Unit.MICRO)
            for name, used, limit in amounts
        ),
        LimitUse(
            name="open_orders_max",
            used=executor.open_and_unknown[0],
            limit_value=limits.open_orders_max,
            unit=Unit.COUNT,
        ),
        *_exposures(executor, bots, breakers.day_start_equity_micro),
        *_ages(executor, now_ns),
    ]


def _exposures(executor: Executor, bots: Iterable[BotId], anchor: int) -> list[LimitUse]:
    limits, book = executor.gate.limits, executor.gate.exposure
    instruments = {str(key): book.instrument_micro(key) for key in executor.concerned()}
    markets = {
        key: book.market_micro(key)
        for key in {book.of(one).instrument.exposure_key for one in executor.concerned()}
    }
    by_bot = {str(bot): book.bot_micro(bot) for bot in bots}
    levels = (
        ("exposure_instrument_max", instruments, limits.exposure_instrument_max),
        ("exposure_market_max", markets, limits.exposure_market_max),
        ("exposure_bot_max", by_bot, limits.exposure_bot_max),
    )
    return [
        LimitUse(
            name=name, subject=subject, used=used, limit_value=limit.micro(anchor), unit=Unit.MICRO
        )
        for name, uses, limit in levels
        for subject, used in _largest(uses)
    ]


def _largest(uses: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(uses.items(), key=lambda item: (-item[1], item[0]))[:SUBJECTS_MAX]


def _ages(executor: Executor, now_ns: int) -> list[LimitUse]:
    """Return the oldest proof of a book that is worked and the oldest mark of what is held."""
    limits, held = executor.gate.limits, executor.ledger.held
    marks = {key: executor.mark(key) for key in executor.concerned()}
    proofs = [
        (now_ns - mark.proof_ns, str(key))
        for key, mark in marks.items()
        if mark is not None and mark.proof_ns is not None and executor.working(key)
    ]
    sided = [
        (now_ns - mark.two_sided_ns, str(key))
        for key, mark in marks.items()
        if mark is not None and mark.two_sided_ns is not None and key in held
    ]
    found = []
    for name, ages, limit_ms in (
        ("data_age_ms_max", proofs, limits.data_age_ms_max),
        ("mark_age_ms_max", sided, limits.mark_age_ms_max),
    ):
        if ages:
            age_ns, subject = max(ages)
            found.append(
                LimitUse(
                    name=name,
                    subject=subject,
                    used=max(0, age_ns),
                    limit_value=limit_ms * MS,
                    unit=Unit.NS,
                )
            )
    return found
