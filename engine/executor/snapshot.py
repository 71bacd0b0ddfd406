"""Snapshots: everything of an executor that must survive a restart, as bytes."""

from __future__ import annotations

import msgspec

from engine.domain.events import BookMarked
from engine.domain.instruments import UNASSIGNED, AccountId, BotId, InstrumentId
from engine.domain.orders import Identity, Order, OrderId
from engine.errors import BadInput
from engine.executor.halts import Blocks, BlocksState, Markets
from engine.executor.ledger import LedgerState
from engine.executor.numbers import OrderNumbers
from engine.executor.orders import LiveOrder, OrderTable, update_exposure
from engine.executor.owners import assign_before
from engine.executor.plan import AwaitedOrder
from engine.executor.reconcile import Reconciler
from engine.executor.wallet import WalletState
from engine.risk.gate import Breakers


class _SavedInstrument(msgspec.Struct, frozen=True):
    bot: BotId | None
    """In snapshots of before owners: whose orders were here last."""
    closed: bool
    cooldown_ns: int
    refusals: int
    bots: tuple[BotId, ...] = ()
    """In snapshots of before owners: who had a part in what is held here."""


class _ExecutorState(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    version: int = 2
    """2 = with owners; before them what an account held belonged to no one in particular."""
    account: AccountId
    ledger: LedgerState
    orders: list[LiveOrder]
    awaiting_listing: list[Order]
    awaiting_names: dict[OrderId, Identity] = msgspec.field(default_factory=dict)
    """How the venue knows them. In snapshots of before: unknown."""
    last_id: int
    """The highest number made here, in snapshots of before `numbers` also their floor."""
    instruments: dict[InstrumentId, _SavedInstrument]
    marks: list[BookMarked]
    blocks: BlocksState
    breakers: bytes
    fills_ok_ns: int
    wallet: WalletState = msgspec.field(default_factory=WalletState)
    numbers: OrderNumbers | None = None
    """None in snapshots of before: all up to `last_id` were made here."""


def encode(
    table: OrderTable, blocks: Blocks, breakers: Breakers, markets: Markets, reconciler: Reconciler
) -> bytes:
    """Return the state as MessagePack. Live orders come first, oldest first, then ended ones."""
    questions = reconciler.questions
    live = table.live()
    return msgspec.msgpack.encode(
        _ExecutorState(
            account=table.account,
            ledger=table.ledger.state,
            orders=[*live, *(table.orders[number] for number in table.ended)],
            awaiting_listing=[one.order for one in table.awaiting_listing.values()],
            awaiting_names={
                number: one.identity
                for number, one in table.awaiting_listing.items()
                if one.identity is not None
            },
            last_id=table.numbers.last,
            numbers=table.numbers,
            instruments={
                key: _SavedInstrument(
                    None,
                    entry.closed,
                    entry.cooldown_ns,
                    entry.refusals,
                )
                for key, entry in table.instruments.items()
            },
            marks=[markets.marks[key] for key in table.ledger.held if key in markets.marks],
            blocks=blocks.state,
            breakers=breakers.state(),
            fills_ok_ns=max(questions.fills_ok_ns, questions.fills_reach_ns),
            wallet=reconciler.wallet.state,
        )
    )


def decode(
    state: bytes,
    table: OrderTable,
    blocks: Blocks,
    breakers: Breakers,
    *,
    markets: Markets,
    reconciler: Reconciler,
    died: bool = True,
) -> None:
    """Fill fresh objects with a saved state. Raises BadInput where it cannot be read."""
    try:
        saved = msgspec.msgpack.decode(state, type=_ExecutorState)
    except msgspec.DecodeError as error:
        raise BadInput(f"the snapshot of {table.account} cannot be read: {error}") from None
    if saved.account != table.account:
        raise BadInput(f"the snapshot is of {saved.account}, not of {table.account}")
    if table.orders or table.instruments:
        raise BadInput(f"{table.account} is already in use and cannot be restored into")
    if saved.version < 2:
        _assign_owners(saved)
    table.ledger.restore(saved.ledger)
    _restore_instruments(table, saved)
    before = OrderNumbers(made=[(1, saved.last_id)] * bool(saved.last_id), floor=saved.last_id)
    table.restore(saved.orders, saved.numbers or before, died=died)
    table.awaiting_listing = {
        order.id: AwaitedOrder(order, saved.awaiting_names.get(order.id))
        for order in saved.awaiting_listing
    }
    for mark in saved.marks:
        # What was seen before the restart may mark a holding; it proves nothing any more.
        markets.marks[mark.instrument] = msgspec.structs.replace(mark, trusted=False)
    blocks.state = saved.blocks
    breakers.restore(saved.breakers)
    reconciler.questions.fills_reach_ns = saved.fills_ok_ns
    reconciler.wallet.state = saved.wallet


def _restore_instruments(table: OrderTable, saved: _ExecutorState) -> None:
    for instrument in list(saved.ledger.instruments.values()):
        entry = table.listed(instrument)
        before = saved.instruments.get(instrument.id)
        if before is None:
            continue  # forgotten while ended orders of it were still remembered
        entry.closed = before.closed or bool(entry.uncounted)
        entry.cooldown_ns = before.cooldown_ns
        entry.refusals = before.refusals
        update_exposure(table.exposure, table.ledger, instrument)


def _assign_owners(saved: _ExecutorState) -> None:
    """Say whose everything is in a snapshot that was made before owners.

    Orders tell it of their reservations and unsettled fills; a holding is the bot's that alone had
    a part in it, else it is `unassigned` until a person transfers it.
    """
    ledger, whose = saved.ledger, {known.order.id: known.order.bot for known in saved.orders}
    for number, kept in ledger.reservations.items():
        owner = whose.get(number, UNASSIGNED)
        ledger.reservations[number] = msgspec.structs.replace(kept, owner=owner)
    parts: dict[InstrumentId, set[BotId]] = {
        key: set(one.bots or filter(None, (one.bot,))) for key, one in saved.instruments.items()
    }
    for entry in ledger.fills.unsettled.values():
        entry.owner = whose.get(entry.order, UNASSIGNED)
    for known in saved.orders:
        if known.filled:
            parts.setdefault(known.order.instrument, set()).add(known.order.bot)
    alone = {key: next(iter(bots)) for key, bots in parts.items() if len(bots) == 1}
    assign_before(ledger, alone)
