"""Figures of one account for people: what it holds, uses of its limits, may spend, and earns.

Readings of the ledger, the gate, the exposure book and the market's books; nothing here waits or
changes anything. Of perpetuals the owners are netted as a venue nets them; what backs a position,
and where it ends, are `engine.domain.products.backing`'s, and what needs a mark that is missing or
old is unknown, with the reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec
from msgspec import UNSET

from engine.caches.views import BookView
from engine.domain.alerts.rewards import REWARDS_MOVED
from engine.domain.assets import DECIMALS_MAX, Asset
from engine.domain.decisions import Unit
from engine.domain.effects import RaiseAlert, caution
from engine.domain.instruments import AccountId, BotId, Instrument, InstrumentId, Mode, Side
from engine.domain.money import MICRO, money_text, written
from engine.domain.orders import OrderId, OrderState
from engine.domain.products.backing import MarkedPosition, beside, due_micro, liquidated_at
from engine.domain.products.margin import buffer_ppm
from engine.domain.rates import Rate, counted_as, par
from engine.domain.rewards import Earning, RestingQuote
from engine.domain.rewards import earnings as earned
from engine.domain.telemetry import AssetSeen, Capital, LockedMoney, MarginSeen
from engine.executor.executor import Executor
from engine.executor.fills import Holding, LegHolding, mid_value_micro
from engine.runtime.account_runner import AccountRunner
from storage.live import SUBJECTS_MAX, HoldingSeen, LimitUse

# -- Holdings and the use of every limit -----------------------------------------------------------

MS = 1_000_000
S = 1_000 * MS


Margins = Mapping[InstrumentId, MarginSeen]
"""Positions of perpetuals as margin sees them."""

NO_MARGINS: Margins = {}


def holdings_of(executor: Executor, margins: Margins = NO_MARGINS) -> list[HoldingSeen]:
    """Return what the account holds of each instrument, and by whose names."""
    state = executor.ledger.state
    return [_holding(executor, held, margins.get(key)) for key, held in state.holdings.items()]


def _owners(executor: Executor, key: InstrumentId) -> str:
    """Return who holds something of an instrument, else who made something there."""
    holders = executor.ledger.holders(key)
    names = [name for name, of in holders.items() if not of.flat] or list(holders)
    return ", ".join(sorted(names))


def _holding(executor: Executor, held: Holding, margin: MarginSeen | None) -> HoldingSeen:
    instrument = executor.ledger.state.instruments[held.instrument]
    mark = executor.mark(held.instrument)
    return HoldingSeen(
        account=executor.account,
        instrument=held.instrument,
        mode=executor.mode,
        currency=executor.currency,
        bot=_owners(executor, held.instrument),
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
        margin=margin,
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
    )
    total, unknown = gate.exposure.total_micro(now_ns), gate.exposure.unknown_rates(now_ns)
    return [
        *(
            LimitUse(name=name, used=used, limit_value=limit.micro(anchor), unit=Unit.MICRO)
            for name, used, limit in amounts
        ),
        LimitUse(
            name="exposure_total_max",
            used=gate.exposure.account_micro() if total is None else total,
            limit_value=limits.exposure_total_max.micro(anchor),
            unit=Unit.MICRO,
            unknown=unknown if total is None else "",
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
    owners = {*bots, *(one for one in book.owners if book.bot_micro(one) > 0)}
    by_owner = {str(owner): book.bot_micro(owner) for owner in owners}
    levels = (
        ("exposure_instrument_max", instruments, limits.exposure_instrument_max),
        ("exposure_market_max", markets, limits.exposure_market_max),
        ("exposure_bot_max", by_owner, limits.exposure_bot_max),
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


# -- Where all money of one account is: free, reserved, on its way, in tokens ---------------------

LOCKS_MAX = 300
"""Markets reported one by one, those that end first; the others are one sum."""

_LOCKED = (
    "orders_micro",
    "margin_micro",
    "pending_micro",
    "held_micro",
    "redeemable_micro",
    "between_micro",
)
"""Fields of a lock that sum to it."""

CONFIRMED = frozenset({OrderState.OPEN, OrderState.PARTIAL, OrderState.CANCELLING})
"""States of an order that the venue is known to hold."""


def capital_of(executor: Executor, now_ns: int, margins: Margins = NO_MARGINS) -> Capital:
    """Return where an account's money is. Free cash is what planner and ledger commit from."""
    state, venue = executor.ledger.state, executor.venue_cash
    paid = {key: one.cash_micro for key, one in state.reservations.items() if one.cash_micro}
    confirmed = [micro for key, micro in paid.items() if _confirmed(executor, key)]
    held = [one for one in executor.ledger.held.values() if not _signed(executor, one)]
    tokens = [_tokens(executor, one) for one in held]
    pairs, worth, dust, others = (
        (sum(column) for column in zip(*tokens, strict=True)) if tokens else (0,) * 4
    )
    return Capital(
        account=executor.account,
        mode=executor.mode,
        currency=executor.currency,
        at_ns=now_ns,
        settled_micro=state.cash_settled_micro,
        open_micro=sum(confirmed),
        open_orders=len(confirmed),
        doubtful_micro=state.cash_reserved_micro - state.margin_micro - sum(confirmed),
        doubtful_orders=len(paid) - len(confirmed),
        pending_micro=state.cash_pending_micro,
        redeemable_micro=state.redeemable_micro,
        redeeming_micro=sum(
            executor.ledger.holding(key).redeemable_micro for key in executor.redeeming
        ),
        pairs_micro=pairs,
        pairs_worth_micro=worth,
        dust_micro=dust,
        held_micro=others,
        deposits_micro=state.deposits_micro,
        realised_micro=state.realised_micro,
        fees_micro=state.fees_micro,
        income_micro=sum(state.income_micro.values()),
        venue_micro=None if venue is None else venue[0],
        venue_ns=None if venue is None else venue[1],
        locks=_locks(executor),
        assets=tuple(_assets(executor, now_ns)),
        margin_micro=state.margin_micro,
        between_micro=sum(between_micro(executor, key) for key in state.netted),
        margins=tuple(margins.values()),
        rate=executor.gate.exposure.rate(now_ns),
    )


def _signed(executor: Executor, held: Holding) -> bool:
    return executor.ledger.state.instruments[held.instrument].product.signed


def margin_micro(executor: Executor, key: InstrumentId) -> int:
    """Return what the owners' positions of a perpetual take of free cash."""
    product = executor.ledger.state.instruments[key].product
    holders = executor.ledger.holders(key).values()
    return sum(product.margin_micro(one.yes.cost_settled_micro) for one in holders)


def between_micro(executor: Executor, key: InstrumentId) -> int:
    """Return what owners of a perpetual realised that the venue, which nets them, has not."""
    netted = executor.ledger.state.netted.get(key)
    if netted is None:
        return 0
    costs = (one.yes.cost_settled_micro for one in executor.ledger.holders(key).values())
    return sum(costs) - netted.cost


def _assets(executor: Executor, now_ns: int) -> Iterator[AssetSeen]:
    """Give every asset beside the currency, by name, with what leaving one of it would bring."""
    ledger = executor.ledger
    whole, beside = ledger.in_assets(margined=False), ledger.beside_equity()
    for name in sorted({*whole, *beside}):
        rate, left = _rate(executor, name), beside.get(name, 0)
        yield AssetSeen(
            asset=name,
            held=Asset(name, DECIMALS_MAX).text(whole.get(name, 0) - left),
            beside=Asset(name, DECIMALS_MAX).text(left),
            rate=rate,
            worth_micro=None if rate is None else rate.worth_micro(whole.get(name, 0), now_ns),
        )


def _rate(executor: Executor, asset: str) -> Rate | None:
    """Return an asset's newest rate: the best bid of a trusted book of its pair.

    What counts one to one as the account's currency is that, as an asset and as what a pair is
    quoted in.
    """
    own, found = counted_as(executor.currency), []
    if counted_as(asset) == own and (rule := par(asset)) is not None:
        return msgspec.structs.replace(rule, currency=executor.currency)
    for key, terms in executor.ledger.state.instruments.items():
        if terms.base is UNSET or terms.base.id != asset or counted_as(terms.currency) != own:
            continue
        mark = executor.mark(key)
        if mark is None or not mark.trusted or mark.proof_ns is None:
            continue
        if mark.best_bid is not None:
            micro = mark.best_bid * MICRO // terms.price_unit
            source = f"best bid of {key}"
            found.append((mark.proof_ns, micro, source))
    if not found:
        return None
    at_ns, micro, source = max(found)
    return Rate(asset=asset, currency=executor.currency, micro=micro, source=source, at_ns=at_ns)


def _confirmed(executor: Executor, order: OrderId) -> bool:
    known = executor.record(order)
    return known is not None and known.state in CONFIRMED


def _tokens(executor: Executor, held: Holding) -> tuple[int, int, int, int]:
    """Return (cost of free pairs, what they would bring merged, cost of dust, of the rest)."""
    instrument = executor.ledger.state.instruments[held.instrument]
    legs = (held.yes, held.no)
    pairs = max(0, min(leg.settled - leg.reserved for leg in legs))
    paired = [leg.cost_settled_micro * pairs // leg.settled if pairs else 0 for leg in legs]
    dust = sum(
        leg.cost_micro - of_pairs
        for leg, of_pairs in zip(legs, paired, strict=True)
        if _dust(leg, pairs, instrument.smallest)
    )
    cost = sum(leg.cost_micro for leg in legs) - sum(paired)
    return sum(paired), instrument.product.pair_micro(pairs) or 0, dust, cost - dust


def _dust(leg: LegHolding, pairs: int, smallest: int) -> bool:
    return not leg.reserved and 0 < leg.total - pairs < smallest


def _locks(executor: Executor) -> tuple[LockedMoney, ...]:
    """Return by market all that is not free cash, those that end first; their sum is exact."""
    ledger = executor.ledger
    orders, pending = Counter[InstrumentId](), Counter[InstrumentId]()
    for one in ledger.state.reservations.values():
        orders[one.instrument] += one.cash_micro
    for entry in ledger.state.fills.unsettled.values():
        if entry.payout_micro is not None:
            pending[entry.instrument] += entry.payout_micro
        elif entry.side is Side.SELL:
            pending[entry.instrument] += entry.cash_micro - entry.fee_micro
    found = []
    between = {key: micro for key in ledger.state.netted if (micro := between_micro(executor, key))}
    for key in {**orders, **pending, **ledger.held, **ledger.redeemable, **between}:
        held, under_way = ledger.holding(key), executor.redeeming.get(key)
        signed = _signed(executor, held)
        stage = "" if under_way is None else under_way.state or "asked"
        lock = LockedMoney(
            instrument=key,
            closes_ns=ledger.state.instruments[key].closes_ns,
            resolved=held.payout_yes_micro is not None,
            orders_micro=orders[key],
            pending_micro=pending[key],
            held_micro=0 if signed else held.yes.cost_micro + held.no.cost_micro,
            redeemable_micro=held.redeemable_micro,
            redemption="in doubt" if under_way and under_way.doubt_ns is not None else stage,
            margin_micro=margin_micro(executor, key) if signed else 0,
            between_micro=between.get(key, 0),
        )
        if any(getattr(lock, name) for name in _LOCKED):
            found.append(lock)
    found.sort(key=lambda one: (one.closes_ns is None, one.closes_ns, one.instrument))
    return (*found[:LOCKS_MAX], *_together(found[LOCKS_MAX:]))


def _together(locks: Sequence[LockedMoney]) -> Iterator[LockedMoney]:
    if locks:
        amounts = {name: sum(getattr(one, name) for one in locks) for name in _LOCKED}
        yield LockedMoney(instrument=None, markets=len(locks), **amounts)


# -- What working orders earn of the rewards of their markets --------------------------------------

BAND_LEVELS = 500
"""Levels of a side that are looked at: the widest band has fewer."""


def earnings_of(runner: AccountRunner, now_ns: int) -> tuple[Earning, ...]:
    """Return what each working order of an account earns. A paper book does not hold our orders."""
    executor, found = runner.core.executor, list[Earning]()
    for key in executor.concerned():
        orders = executor.working(key)
        quotes = [
            RestingQuote(
                order=one.order.id,
                bid=one.bid,
                price=one.level,
                size=one.remaining,
                age_ns=now_ns - one.order.created_ns,
                confirmed=one.state in CONFIRMED,
            )
            for one in orders
        ]
        if quotes:
            instrument, sides = executor.ledger.state.instruments[key], None
            view = runner.core.cache.views.get(key)
            if instrument.rewards_daily_micro and view is not None and view.trusted:
                depth = view.book.depth
                sides = depth(Side.BUY, BAND_LEVELS), depth(Side.SELL, BAND_LEVELS)
            in_book = executor.mode is not Mode.PAPER
            found += earned(instrument, sides, quotes, in_book=in_book)
    return tuple(found)


class RewardsWatch:
    """Says when a market that an account rests in pays otherwise than before."""

    def __init__(self) -> None:
        self._known: dict[AccountId, dict[InstrumentId, Instrument]] = {}

    def moved(self, executor: Executor) -> list[RaiseAlert]:
        """Return an alert for each change since the last call."""
        known = self._known.get(executor.account, {})
        instruments = executor.ledger.state.instruments
        now = {key: instruments[key] for key in executor.concerned() if executor.working(key)}
        self._known[executor.account] = now
        return [
            caution(
                REWARDS_MOVED.name,
                f"{key} pays {said}; previously {before}",
                executor.account,
                instrument=key,
                pays=said,
                before=before,
            )
            for key, one in now.items()
            if key in known and (said := _pays(one)) != (before := _pays(known[key]))
        ]


def _pays(instrument: Instrument) -> str:
    """Return what a market pays, in words; equal words are equal terms."""
    if not instrument.rewards_daily_micro:
        return "no rewards"
    daily = money_text(instrument.rewards_daily_micro)
    least = instrument.size_text(instrument.rewards_size_min)
    band = written(instrument.price_decimal(instrument.rewards_spread_max) * 100)
    return (
        f"{daily} {instrument.currency} per day for {least} shares or more within "
        f"{band}\N{CENT SIGN} of the mid"
    )


# -- What margin makes of perpetuals --------------------------------------------------------------


class _Position(NamedTuple):
    """One perpetual at its mark; where the mark is missing or old, `why` says so."""

    marked: MarkedPosition
    why: str

    @property
    def due_micro(self) -> int | None:
        """Return what it must keep; None = unknown."""
        of, held, mark_e8 = self.marked
        if not held.size or of.margin is UNSET:
            return 0
        return None if mark_e8 is None else due_micro(of, held.size, mark_e8)


def margins_of(
    executor: Executor, views: Mapping[InstrumentId, BookView], now_ns: int
) -> dict[InstrumentId, MarginSeen]:
    """Return every perpetual that an owner holds, as margin sees it."""
    state = executor.ledger.state
    if not state.netted:
        return {}
    keys = [key for key in executor.ledger.held if state.instruments[key].product.signed]
    positions = {key: _position(executor, key, views.get(key), now_ns) for key in keys}
    return {key: _seen(executor, key, positions, views.get(key)) for key in keys}


def _position(
    executor: Executor, key: InstrumentId, view: BookView | None, now_ns: int
) -> _Position:
    state = executor.ledger.state
    terms, held = state.instruments[key], state.netted[key]
    if view is None or view.mark_e8 is None or view.marked_ns is None:
        why = f"the venue has said no mark of {key} yet"
        return _Position(MarkedPosition(terms, held, None), why)
    age_ns = now_ns - view.marked_ns
    if age_ns > executor.gate.limits.mark_age_ms_max * MS:
        why = f"the mark of {key} is {age_ns // S} s old"
        return _Position(MarkedPosition(terms, held, None), why)
    return _Position(MarkedPosition(terms, held, view.mark_e8), "")


def _seen(
    executor: Executor,
    key: InstrumentId,
    positions: Mapping[InstrumentId, _Position],
    view: BookView | None,
) -> MarginSeen:
    mine = positions[key]
    of, held, mark_e8 = mine.marked
    rest = [one for name, one in positions.items() if name != key]
    taken = beside(of, (one.marked for one in rest))
    price, unknown = None, mine.why
    if taken is None:
        unknown = unknown or next(one.why for one in rest if one.why)
    else:
        price = liquidated_at(of, held, executor.ledger.state.cash_settled_micro, taken)
    away = None
    if price is not None and mark_e8 is not None:
        away = buffer_ppm(mark_e8, price, long=held.size > 0)
    return MarginSeen(
        instrument=key,
        size=held.size,
        used_micro=margin_micro(executor, key),
        mark_e8=None if view is None else view.mark_e8,
        marked_ns=None if view is None else view.marked_ns,
        due_micro=mine.due_micro,
        liquidation_e8=price,
        buffer_ppm=away,
        unknown=unknown,
    )
