"""The moves of a ledger's books: fills, their settlement, results and redemptions.

Each move changes both sides of an entry, so that the identity of `balance` holds after it. Nothing
is decided here: which move is due is the ledger's and the fill machine's affair. A holding is one
owner's (`engine.executor.owners`).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from engine.domain.assets import Asset, Money, leaves
from engine.domain.events import CashKind, OrderFilled, TokensRedeemed
from engine.domain.instruments import UNASSIGNED, BotId, Instrument, InstrumentId, Side
from engine.domain.liquidations import LiquidationPart, PositionFacts
from engine.domain.money import MICRO_DECIMALS
from engine.domain.orders import Order, OrderId
from engine.domain.owners import HoldersPast, repaid
from engine.domain.perpetual_events import PositionLiquidated
from engine.domain.products.binary import pays_micro
from engine.domain.products.perpetual import closing
from engine.domain.products.position import SignedPosition
from engine.errors import BrokenInvariant
from engine.executor.fills import (
    FillBook,
    Holding,
    LegHolding,
    Reservation,
    SignedWork,
    Unsettled,
    cost_out,
    payouts,
    redeemed_tokens,
)

# -- The books: everything of a ledger that must survive, and the identity they keep ---------------


class Anomaly(StrEnum):
    """A rule that a booked fact breaks. Facts are kept; a person is alerted."""

    CASH_NEGATIVE = "cash_negative"
    OVERSOLD = "oversold"
    """More tokens left than were settled: the venue sold what we thought pending."""
    FEE_ABOVE_FILL = "fee_above_fill"
    """The venue took a larger fee than the fill was worth."""


class Booked(msgspec.Struct, frozen=True, kw_only=True):
    """What a fill or its settlement did. `changed` is False for news already known."""

    changed: bool
    anomalies: tuple[Anomaly, ...] = ()


NOTHING = Booked(changed=False)
DONE = Booked(changed=True)


class OwnerTotals(msgspec.Struct, kw_only=True):
    """What one owner made: the account's figures are the sums over all of them."""

    realised_micro: int = 0
    fees_micro: int = 0
    income_micro: dict[CashKind, int] = {}
    asset_fees: dict[str, int] = {}
    """By asset, in its units: what fees took of assets in `LedgerState.assets`."""


class AssetTotals(msgspec.Struct, kw_only=True):
    """What fees took of an asset that is neither the currency nor what their fills traded."""

    asset: Asset
    fees: int = 0
    """In the asset's units; above zero = paid."""


class LedgerState(msgspec.Struct, kw_only=True):
    """Everything of a ledger that must survive."""

    currency: str
    cash_settled_micro: int = 0
    cash_pending_micro: int = 0
    cash_reserved_micro: int = 0
    redeemable_micro: int = 0
    """What tokens of resolved instruments are still to bring: equity, and not to be spent."""
    redeemed_micro: int = 0
    """What redemptions have paid since the account began."""
    deposits_micro: int = 0
    income_micro: dict[CashKind, int] = {}
    """Rewards and rebates: no trade realised them."""
    payments: dict[str, int] = {}
    """Those by the venue's names, with their times: the last thousand."""
    funded_ns: int = 0
    """When the first cash was booked: what was paid before is in it."""
    recount: bool = False
    """True until the first cash is counted anew, behind a recovery of what it already contains."""
    realised_micro: int = 0
    fees_micro: int = 0
    holdings: dict[InstrumentId, Holding] = {}
    """What the account holds: of each instrument the sum over its owners."""
    owned: dict[InstrumentId, dict[BotId, Holding]] = {}
    """What each owner holds of it. A sole owner's holding is the account's, one and the same."""
    owners: dict[BotId, OwnerTotals] = {}
    """What each owner made since it began."""
    assets: dict[str, AssetTotals] = {}
    """What fees took of third assets (BNB, OKB), by name."""
    reservations: dict[OrderId, Reservation] = {}
    fills: FillBook
    instruments: dict[InstrumentId, Instrument] = {}
    netted: dict[InstrumentId, SignedPosition] = {}
    """What a venue that nets the owners of a perpetual holds: its gains are what moved the cash."""
    past: dict[InstrumentId, HoldersPast] = {}
    """Who held perpetuals when stamps of funding were due."""
    facts: dict[InstrumentId, PositionFacts] = {}
    """What changed positions that a venue may liquidate, in its order."""
    margin_micro: int = 0
    """What the positions of perpetuals take of free cash, each owner's by itself."""


def totals_of(state: LedgerState, owner: BotId) -> OwnerTotals:
    """Return what an owner made, to be changed; a new one made nothing."""
    found = state.owners.get(owner)
    if found is None:
        found = state.owners[owner] = OwnerTotals()
    return found


# -- The moves -------------------------------------------------------------------------------------

_BUY = Side.BUY


def take_fill(
    state: LedgerState,
    holding: Holding,
    order: Order,
    event: OrderFilled,
    *,
    settled: bool,
    now_ns: int,
) -> Unsettled:
    """Move cash and tokens of a new fill; return what reverses it while it is not settled."""
    size, fee = event.size, event.fee_micro
    entry = Unsettled(
        fill=event.fill,
        order=order.id,
        owner=order.bot,
        instrument=order.instrument,
        leg=order.leg,
        side=order.side,
        size=size,
        cash_micro=0,
        fee_micro=fee,
    )
    instrument = state.instruments[order.instrument]
    leg = holding.leg(order.leg)
    if event.fee is not UNSET:
        fee = _take_fee(state, holding, entry, event)
        size, cost = entry.size, entry.cash_micro
    else:
        cost = entry.cash_micro = event.moved_micro(instrument, order.side)
    if instrument.product.signed:
        state.cash_settled_micro -= fee
        entry.matched_ns, entry.ordered_ns = event.matched_ns or 0, order.created_ns
        trade_signed(state, holding, entry.signed_size, entry.signed_micro, now_ns)
        _in_order(state, holding, entry, entry.signed_size, now_ns)
    elif order.side is _BUY:
        state.cash_settled_micro -= cost + fee
        if settled:
            leg.settled += size
            leg.cost_settled_micro += cost
        else:
            leg.pending += size
            leg.cost_pending_micro += cost
    else:
        entry.cost_settled_micro, entry.cost_pending_micro = cost_out(leg, size)
        _sell(state, leg, entry, settled=settled)
        realise(state, holding, cost - entry.cost_settled_micro - entry.cost_pending_micro)
    charge(state, holding, fee)
    return entry


def trade_signed(
    state: LedgerState, holding: Holding, size: int, flow: int, now_ns: int = 0
) -> None:
    """Book a trade of a signed size for its signed value: its owner's, and the venue's own net.

    What the venue realises is cash, what the owner does is its own. Each with the cost of what is
    held moves by the same, so that they sum together at one mark.
    """
    _net(state, holding.instrument, size, flow)
    move_signed(state, holding, size, flow, now_ns)


def _net(state: LedgerState, key: InstrumentId, size: int, flow: int) -> None:
    """Book what the venue nets: what it realises is cash."""
    netted = state.netted.get(key)
    if netted is None:
        netted = state.netted[key] = SignedPosition()
    state.cash_settled_micro += netted.apply_fill(size, flow).realised


def move_signed(
    state: LedgerState, holding: Holding, size: int, flow: int, now_ns: int = 0
) -> None:
    """Move an owner's signed position alone, as by a trade: the venue knows nothing of it.

    Who held until `now_ns` is kept for the funding of stamps before it; 0 = it never was so.
    """
    if now_ns:
        key = holding.instrument
        past = state.past.get(key)
        if past is None:
            past = state.past[key] = HoldersPast()
        held = {owner: one.position for owner, one in state.owned[key].items()}
        past.changing(held, now_ns)
    leg, product = holding.yes, state.instruments[holding.instrument].product
    before = product.margin_micro(leg.cost_settled_micro)
    own = SignedPosition(leg.settled, leg.cost_settled_micro)
    realise(state, holding, own.apply_fill(size, flow).realised)
    leg.settled, leg.cost_settled_micro = own.size, own.cost
    more = product.margin_micro(own.cost) - before
    state.margin_micro += more
    state.cash_reserved_micro += more
    share_closing(state, holding)


def give_signed(
    state: LedgerState, giver: Holding, taker: Holding, size: int, value: int, *, now_ns: int
) -> None:
    """Let one owner give another of what it is long or short of, at a value."""
    sign = 1 if giver.yes.settled > 0 else -1
    move_signed(state, giver, -sign * size, -sign * value, now_ns)
    move_signed(state, taker, sign * size, sign * value, now_ns)
    if giver is not taker:
        moved = {giver.owner: -sign * size, taker.owner: sign * size}
        facts_of(state, giver.instrument).add_move(moved)


def take_in_signed(state: LedgerState, holding: Holding, size: int, flow: int, now_ns: int) -> None:
    """Book what came to an owner's signed position without a trade here."""
    trade_signed(state, holding, size, flow, now_ns)
    facts_of(state, holding.instrument).add_move({holding.owner: size})


def commit_signed(
    state: LedgerState, holding: Holding, order: Order, remaining: int, free: int | None
) -> None:
    """Reserve what `remaining` of an order of a signed position may close, and margin of the rest.

    BrokenInvariant where that takes more than is `free`; None = the order exists anyway.
    """
    old = state.reservations.get(order.id)
    tokens, cash = (0, 0) if old is None else (old.tokens, old.cash_micro)
    leg, instrument = holding.yes, state.instruments[order.instrument]
    opens = remaining - closing(leg.settled, leg.reserved - tokens, order.side, remaining)
    more = instrument.opening_micro(order.price, opens, post_only=order.post_only) - cash
    if free is not None and more > max(0, free):
        raise BrokenInvariant(f"order {order.id} needs {more} micro, {free} are free")
    work = SignedWork(order.side, order.price, remaining, order.post_only)
    state.reservations[order.id] = Reservation(
        order.instrument, order.leg, cash, tokens, order.bot, work
    )
    share_closing(state, holding)


def share_closing(state: LedgerState, holding: Holding) -> None:
    """Let an owner's orders close what is held of a signed position, the oldest first.

    What they open beyond it takes margin: an order that closed when it was placed may open by now,
    where a transfer, another order or a liquidation took the position.
    """
    leg, instrument = holding.yes, state.instruments[holding.instrument]
    closed = 0
    for number in sorted(state.reservations):
        known = state.reservations[number]
        work = known.work
        if work is None or (known.instrument, known.owner) != (holding.instrument, holding.owner):
            continue
        tokens = closing(leg.settled, closed, work.side, work.size)
        closed += tokens
        opens = work.size - tokens
        cash = instrument.opening_micro(work.price, opens, post_only=work.post_only)
        if (tokens, cash) != (known.tokens, known.cash_micro):
            state.cash_reserved_micro += cash - known.cash_micro
            state.reservations[number] = replace(known, cash_micro=cash, tokens=tokens)
    leg.reserved = closed


def take_liquidation(
    state: LedgerState, event: PositionLiquidated, own: Callable[[BotId], Holding], now_ns: int
) -> list[Holding]:
    """Book what the venue closed, pro rata of the owners in its direction; give their holdings."""
    state.cash_settled_micro -= event.fee_micro
    if not event.size:
        holding = own(UNASSIGNED)
        charge(state, holding, event.fee_micro)
        return [holding]
    _net(state, event.instrument, -event.size, -event.value_micro)
    facts = facts_of(state, event.instrument)
    facts.add_liquidation(
        event.size, event.value_micro, event.fee_micro, at_ns=event.at_ns, booked_ns=now_ns
    )
    return [
        _take_part(state, own(part.owner), part, now_ns)
        for part in facts.share(positions(state, event.instrument))
    ]


def _in_order(
    state: LedgerState, holding: Holding, entry: Unsettled, size: int, now_ns: int
) -> None:
    """Keep a fill of a signed position, or what took it out, in the venue's order.

    A liquidation that is booked, and came after it at the venue, is shared anew.
    """
    key = holding.instrument
    late = facts_of(state, key).add_fill(
        holding.owner, size, matched_ns=entry.matched_ns, ordered_ns=entry.ordered_ns
    )
    holders = state.owned[key]
    for part in state.facts[key].share(positions(state, key)) if late else ():
        if part.owner not in holders:
            holders[part.owner] = Holding(instrument=key, owner=part.owner)
        _take_part(state, holders[part.owner], part, now_ns)
    past = state.past.get(key)
    if past is None or not past.shared:
        return
    contract, facts = state.instruments[key].contract, state.facts[key]
    anew = past.share_anew(entry.matched_ns, positions(state, key), contract, facts.held_at)
    for one in anew:
        income = totals_of(state, one.owner).income_micro
        income[CashKind.FUNDING] = income.get(CashKind.FUNDING, 0) + one.amount_micro


def _take_part(state: LedgerState, holding: Holding, part: LiquidationPart, now_ns: int) -> Holding:
    """Let an owner lose its part of a liquidation, or have it back, and of what the venue kept."""
    move_signed(state, holding, -part.size, -part.value_micro, now_ns)
    charge(state, holding, part.fee_micro)
    return holding


def positions(state: LedgerState, key: InstrumentId) -> dict[BotId, int]:
    """Return what each owner holds of an instrument, below 0 short."""
    return {owner: one.position for owner, one in state.owned.get(key, {}).items()}


def facts_of(state: LedgerState, key: InstrumentId) -> PositionFacts:
    """Return what changed a position, to be added to."""
    found = state.facts.get(key)
    if found is None:
        found = state.facts[key] = PositionFacts()
    return found


def _sell(state: LedgerState, leg: LegHolding, entry: Unsettled, *, settled: bool) -> None:
    leg.settled -= entry.size
    leg.cost_settled_micro -= entry.cost_settled_micro
    leg.cost_pending_micro -= entry.cost_pending_micro
    if settled:
        state.cash_settled_micro += entry.cash_micro - entry.fee_micro
    else:
        state.cash_pending_micro += entry.cash_micro - entry.fee_micro
        leg.leaving += entry.size
        leg.cost_leaving_micro += entry.cost_settled_micro + entry.cost_pending_micro


def _take_fee(state: LedgerState, holding: Holding, entry: Unsettled, event: OrderFilled) -> int:
    """Put a fee of its own asset into a fill's entry; return what it is in micro-units.

    In the currency it is added, rounded up. In what the fill trades it is a sale of that much at
    the fill's price beside it: a buy brings fewer tokens for less, a sale lets go of more, and the
    fee is what those were worth. Whole increments leave; what is left of one is `dust`. In any
    other asset it is noted in that one alone.
    """
    assert event.fee is not UNSET
    fee, instrument = event.fee, state.instruments[entry.instrument]
    moved = entry.cash_micro = event.moved_micro(instrument, entry.side)
    if fee.asset.id == instrument.currency:
        entry.fee_micro += fee.paid_in(MICRO_DECIMALS)
    elif instrument.base is UNSET or fee.asset.id != instrument.base.id:
        entry.fee = fee
        _pay(state, holding, fee)
    else:
        step: int = 10 ** (instrument.base.decimals - instrument.size_decimals)
        paid = fee.paid_in(instrument.base.decimals)
        tokens = leaves(paid, state.holdings[entry.instrument].dust, step)
        entry.dust = tokens * step - paid
        holding.dust += entry.dust
        worth = moved * paid // (event.size * step)
        sign = -1 if entry.side is _BUY else 1
        entry.size += sign * tokens
        entry.cash_micro += sign * worth
        entry.fee_micro += worth
    return entry.fee_micro


def _pay(state: LedgerState, holding: Holding, fee: Money, sign: int = 1) -> None:
    """Note a fee in the books of its asset; `sign` -1 takes it back."""
    name = fee.asset.id
    books = state.assets.get(name)
    if books is None:
        books = state.assets[name] = AssetTotals(asset=fee.asset)
    paid = sign * fee.paid_in(books.asset.decimals)
    books.fees += paid
    fees = totals_of(state, holding.owner).asset_fees
    fees[name] = fees.get(name, 0) + paid


def charge(state: LedgerState, holding: Holding, fee: int) -> None:
    """Note what fees took; a negative amount takes it back."""
    if fee:
        holding.fees_micro += fee
        state.fees_micro += fee
        totals_of(state, holding.owner).fees_micro += fee


def realise(state: LedgerState, holding: Holding, amount: int) -> None:
    """Note a profit or loss before fees."""
    if amount:
        holding.realised_micro += amount
        state.realised_micro += amount
        totals_of(state, holding.owner).realised_micro += amount


def settle(state: LedgerState, entry: Unsettled, holding: Holding) -> None:
    """Turn what a fill promised into money or tokens that may be used."""
    if state.instruments[entry.instrument].product.signed:
        return  # it was all there when it was booked
    leg = holding.leg(entry.leg)
    moving = entry.payout_micro
    if entry.side is not _BUY:
        moving = entry.cash_micro - entry.fee_micro
        leg.leaving -= entry.size
        leg.cost_leaving_micro -= entry.cost_settled_micro + entry.cost_pending_micro
    if moving is not None:
        state.cash_pending_micro -= moving
        if entry.side is _BUY:
            await_redemption(state, holding, leg, entry.size, moving)
        else:
            state.cash_settled_micro += moving
        return
    leg.pending -= entry.size
    leg.settled += entry.size
    leg.cost_pending_micro -= entry.cash_micro
    leg.cost_settled_micro += entry.cash_micro


def void(state: LedgerState, entry: Unsettled, holding: Holding, now_ns: int) -> None:
    """Undo a fill to the unit: cash, tokens, costs, fee and what it had realised.

    A signed position trades back: what closing had brought is in its cost then.
    """
    leg = holding.leg(entry.leg)
    cash, fee = entry.cash_micro, entry.fee_micro
    charge(state, holding, -fee)
    if entry.fee is not None:
        _pay(state, holding, entry.fee, -1)
    holding.dust -= entry.dust
    if state.instruments[entry.instrument].product.signed:
        state.cash_settled_micro += fee
        trade_signed(state, holding, -entry.signed_size, -entry.signed_micro, now_ns)
        _in_order(state, holding, entry, -entry.signed_size, now_ns)
        return
    if entry.side is not _BUY:
        state.cash_pending_micro -= cash - fee
        leg.leaving -= entry.size
        leg.cost_leaving_micro -= entry.cost_settled_micro + entry.cost_pending_micro
        leg.settled += entry.size
        leg.cost_settled_micro += entry.cost_settled_micro
        leg.cost_pending_micro += entry.cost_pending_micro
        realise(state, holding, entry.cost_settled_micro + entry.cost_pending_micro - cash)
        return
    state.cash_settled_micro += cash + fee
    if entry.payout_micro is None:
        leg.pending -= entry.size
        leg.cost_pending_micro -= cash
    else:
        state.cash_pending_micro -= entry.payout_micro
        realise(state, holding, cash - entry.payout_micro)


def tidy(state: LedgerState, holding: Holding) -> None:
    """Leave no cost without tokens: only a sale beyond the settled tokens can strand one."""
    for leg in (holding.yes, holding.no):
        if leg.cost_pending_micro and not leg.pending:
            leg.cost_settled_micro += leg.cost_pending_micro
            leg.cost_pending_micro = 0
        if leg.cost_settled_micro and not leg.settled and not leg.pending:
            realise(state, holding, -leg.cost_settled_micro)
            leg.cost_settled_micro = 0


def convert_leg(
    state: LedgerState, holding: Holding, leg: LegHolding, size: int, cash_micro: int
) -> None:
    """Give an owner tokens of one leg for cash (`size` > 0), or take them for it."""
    settled, pending = (-cash_micro, 0) if size > 0 else cost_out(leg, -size)
    leg.settled += size
    leg.cost_settled_micro -= settled
    leg.cost_pending_micro -= pending
    brought = cash_micro if size < 0 else -cash_micro
    state.cash_settled_micro += brought
    realise(state, holding, brought - settled - pending)


def repay(state: LedgerState, debtor: Holding, holding: Holding) -> None:
    """Give tokens of late fills to the merges that took them before, for the cash of those."""
    for leg, own in ((debtor.yes, holding.yes), (debtor.no, holding.no)):
        size = repaid(leg.owed, leg.total, None if holding is debtor else own.settled)
        if not size:
            continue
        value = leg.owed_micro * size // leg.owed
        leg.owed -= size
        leg.owed_micro -= value
        if holding is not debtor:
            cost, _ = cost_out(own, size)
            own.settled -= size
            own.cost_settled_micro -= cost
            leg.settled += size
            realise(state, holding, value - cost)
            realise(state, debtor, -value)


def await_redemption(
    state: LedgerState, holding: Holding, leg: LegHolding, size: int, payout_micro: int
) -> None:
    """Note tokens that wait for their redemption, apart from those that pay nothing."""
    if payout_micro:
        leg.redeemable += size
        holding.redeemable_micro += payout_micro
        state.redeemable_micro += payout_micro
    else:
        leg.lost += size


def sweep(state: LedgerState, holding: Holding, payout_yes_micro: int) -> None:
    """Realise a resolved instrument: settled tokens await redemption, pending ones are promised."""
    unit = 10 ** state.instruments[holding.instrument].size_decimals
    for leg, payout in payouts(holding, payout_yes_micro):
        if leg.settled:
            worth = leg.settled * payout // unit
            await_redemption(state, holding, leg, leg.settled, worth)
            realise(state, holding, worth - leg.cost_settled_micro)
            leg.settled = leg.cost_settled_micro = 0
    for entry in state.fills.unsettled.values():
        ours = entry.instrument == holding.instrument and entry.owner == holding.owner
        if ours and entry.side is _BUY:
            payout = pays_micro(entry.leg, payout_yes_micro)
            worth, before = entry.size * payout // unit, entry.payout_micro
            if before is None:
                leg = holding.leg(entry.leg)
                leg.pending -= entry.size
                leg.cost_pending_micro -= entry.cash_micro
            entry.payout_micro = worth
            state.cash_pending_micro += worth - (before or 0)
            realise(state, holding, worth - (entry.cash_micro if before is None else before))


def take_redemption(
    state: LedgerState, holding: Holding, payout_yes_micro: int, event: TokensRedeemed
) -> None:
    """Turn redeemed tokens into the cash the venue paid for them; rounding is realised."""
    expected, unit = 0, 10 ** state.instruments[holding.instrument].size_decimals
    taken = redeemed_tokens(holding, payout_yes_micro, event, unit)
    sides = zip(payouts(holding, payout_yes_micro), taken, (event.yes, event.no), strict=True)
    for (leg, payout), burned, said in sides:
        leg.burn(burned, said)
        expected += burned * payout // unit
    if not (holding.yes.redeemable or holding.no.redeemable):
        expected = holding.redeemable_micro  # whatever was rounded fill by fill ends here
    holding.redeemable_micro -= expected
    state.redeemable_micro -= expected
    state.redeemed_micro += event.amount_micro
    state.cash_settled_micro += event.amount_micro
    realise(state, holding, event.amount_micro - expected)
