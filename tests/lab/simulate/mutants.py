"""Engines that are wrong on purpose: each breaks one law, and a judge must say so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from engine.bots.core import AccountCore
from engine.domain.effects import MergePairs, PlaceOrder
from engine.domain.events import HoldingTransferred
from engine.domain.fills import FillState
from engine.domain.inputs import StartedOver
from engine.domain.instruments import Instrument, Leg, Side
from engine.domain.modes import ModeBelief
from engine.domain.money import MICRO
from engine.domain.order_life import ENDS, MOVES, QUIET, Happened
from engine.domain.orders import OrderState
from engine.executor import planning, settlement
from engine.executor.cash import CashMoves
from engine.executor.executor import Executor, ExecutorSettings
from engine.executor.fills import FillBook
from engine.executor.halts import Blocks, TradingHalts
from engine.executor.ledger import Ledger
from engine.executor.manual import ByHand
from engine.executor.numbers import OrderNumbers
from engine.executor.orders import OrderTable
from engine.executor.reconcile import Reconciler
from engine.executor.wallet import WalletOperations
from engine.gateway.core import PlacesLane
from engine.gateway.lanes import SafetyLane
from engine.lab.simulate import put_back, world
from engine.lab.simulate.beside import ABROAD_AT
from engine.lab.simulate.disk import Journal
from engine.lab.simulate.faults import PER_MINUTE, Fault
from engine.live import accounts
from engine.live.engine import Engine
from engine.live.proof import CancelProof, ProofRun
from engine.risk.exposure import ExposureBook, MarketRisk
from engine.risk.gate import Allowed, Breakers, RiskGate
from engine.runtime import venue_plugin
from engine.runtime.account_runner import AccountRunner
from engine.runtime.tape import TapeWriter
from engine.venues.demo.ledger import ExchangeLedger
from storage.loss import Known
from storage.projected import HANDLERS
from storage.projected.orders import OrderRow
from storage.tape_blocks import segments

S, H, F = OrderState, Happened, Fault
TAPED = (F.PAUSED, F.TAPE_DAMAGED)
Patch = Any


class Mutant(NamedTuple):
    name: str
    apply: Callable[[Patch], None]
    faults: tuple[Fault, ...]
    seeds_max: int = 8
    """Within how many seeds it must be caught."""
    minutes: float = 1.0
    spot: bool = False
    """Whether its worlds have a spot pair."""
    perp: bool = False
    """Whether they have a perpetual."""
    accounts: int = 2
    crowd: int = 0
    """How many more accounts each engine has."""
    first: int = 1
    """The first of its seeds."""


def _silence_is_refusal(patch: Patch) -> None:
    patch.setitem(MOVES, (S.SENT, H.NO_ANSWER), (S.REJECTED, ENDS))


def _cancel_submit_releases(patch: Patch) -> None:
    for state in (S.OPEN, S.PARTIAL, S.SENT):
        patch.setitem(MOVES, (state, H.CANCEL_ASKED), (S.CANCELLED, ENDS))


def _pending_is_settled(patch: Patch) -> None:
    first = FillBook.add

    def settled(self: Any, fill: Any, order: Any, state: Any) -> Any:
        first(self, fill, order, state)
        self.states[fill] = FillState.CONFIRMED
        return FillState.CONFIRMED

    patch.setattr(FillBook, "add", settled)


def _planner(patch: Patch, keeps: Callable[[Any], bool]) -> None:
    plan = planning.plan

    def blind(intent: Any, *, working: Any, **facts: Any) -> Any:
        return plan(intent, working=[one for one in working if keeps(one)], **facts)

    patch.setattr(planning, "plan", blind)


def _sells_overlap(patch: Patch) -> None:
    _planner(patch, lambda known: known.state is not S.CANCELLING)
    patch.setattr(Ledger, "_must_be_free", lambda *_: None)


def _unknown_is_nothing(patch: Patch) -> None:
    _planner(patch, lambda known: known.state is not S.UNKNOWN)


def _kill_waits(patch: Patch) -> None:
    patch.setattr(PlacesLane, "drop_scope", lambda *_: None)
    patch.setattr(PlacesLane, "veto", lambda *_: "")
    patch.setattr(PlacesLane, "latch", lambda *_, **__: None)


def _day_is_forgotten(patch: Patch) -> None:
    patch.setattr(TradingHalts, "_keep_budget", lambda *_: None)


def _restart_lifts_the_stop(patch: Patch) -> None:
    restore = Breakers.restore

    def lifting(self: Any, state: bytes) -> None:
        restore(self, state.replace(b'"daily_loss":true', b'"daily_loss":false'))

    patch.setattr(Breakers, "restore", lifting)


def _each_run_begins_the_day(patch: Patch) -> None:
    restore = Breakers.restore

    def anew(self: Any, state: bytes) -> None:
        restore(self, state)
        self._state.day -= 1

    patch.setattr(Breakers, "restore", anew)


def _the_first_cash_of_a_copy_stands(patch: Patch) -> None:
    """Take what the venue has for the first cash, and book the fills in it once more."""
    patch.setattr(Known, "made_nothing", lambda *_: False)


def _first_cash_is_counted_at_once(patch: Patch) -> None:
    """Count it anew while fills and orders of its past have no end yet."""
    patch.setattr(venue_plugin, "uncounted", lambda _: "")


def _numbers_begin_again(patch: Patch) -> None:
    patch.setattr(TradingHalts, "_loss_accepted", lambda *_: None)
    patch.setattr(put_back, "UNSEEN_MAX", 0)
    messages = Known.messages

    def unread(self: Any) -> Any:
        self.orders.clear()
        return messages(self)

    patch.setattr(Known, "messages", unread)


def _the_floor_is_what_was_made(patch: Patch) -> None:
    patch.setattr(OrderNumbers, "has", lambda self, number: number <= self.floor)


def _a_kill_s_release_settles_all(patch: Patch) -> None:
    settle = TradingHalts._settled_by_a_person
    patch.setattr(TradingHalts, "_settled_by_a_person", lambda self, **_: settle(self, whole=False))


def _operations_begin_again(patch: Patch) -> None:
    def unnumbered(self: Any, event: Any, _now_ns: int) -> None:
        self.state.listed_ns = min(self.state.listed_ns, event.since_ns)

    patch.setattr(WalletOperations, "loss_accepted", unnumbered)


def _lost_fills_stay_lost(patch: Patch) -> None:
    messages = Known.messages

    def unread(self: Any) -> Any:
        self.fills.clear()
        return messages(self)

    patch.setattr(Known, "messages", unread)
    _missed_fills_stay_missed(patch)


def _latch_is_forgotten(patch: Patch) -> None:
    settle = Breakers._settle

    def forgetful(self: Any) -> None:
        settle(self)
        self.latched = False

    patch.setattr(Breakers, "_settle", forgetful)


def _duplicates_are_booked(patch: Patch) -> None:
    book = Ledger.book

    def twice(self: Any, order: Any, event: Any, now_ns: int) -> Any:
        if event.fill in self.state.fills.states and event.state is FillState.MATCHED:
            event = msgspec.structs.replace(event, fill=f"{event.fill}-again-{now_ns}")
        return book(self, order, event, now_ns)

    patch.setattr(Ledger, "book", twice)


def _one_not_found_is_believed(patch: Patch) -> None:
    hasty = ExecutorSettings(grace_ms=1, not_found_confirmations=1)
    make = accounts.executor_of

    def made(settings: Any, fence: int) -> Any:
        executor, gate = make(settings, fence)
        executor._reconciler._settings = hasty
        return executor, gate

    patch.setattr(accounts, "executor_of", made)


def _blind_is_well(patch: Patch) -> None:
    patch.setattr(Blocks, "instrument_block", staticmethod(lambda *_: None))
    check = RiskGate.check
    patch.setattr(RiskGate, "check", lambda s, p, **k: check(s, p, **(k | {"mark_age_ns": 0})))


def _names_are_not_kept(patch: Patch) -> None:
    keep = AccountRunner._journal
    patch.setattr(
        AccountRunner, "_journal", lambda s, m, now: type(m) is PlaceOrder or keep(s, m, now)
    )


def _complement_is_wrong(patch: Patch) -> None:
    plan = planning.plan

    def wrong(*args: Any, **facts: Any) -> Any:
        made, one = plan(*args, **facts), facts["instrument"].one
        flip = msgspec.structs.replace
        places = tuple(
            flip(draft, price=one - draft.price) if draft.leg is Leg.NO else draft
            for draft in made.places
        )
        return flip(made, places=places)

    patch.setattr(planning, "plan", wrong)


def _not_looked_for(patch: Patch, of_parts: bool) -> None:
    proof = CancelProof.proof

    def hasty(self: Any, now_ns: int) -> Any:
        found = proof(self, now_ns)
        alike = of_parts is (self._scope is not None)
        return msgspec.structs.replace(found, missing=()) if alike else found

    patch.setattr(CancelProof, "proof", hasty)


def _zero_is_not_looked_for(patch: Patch) -> None:
    _not_looked_for(patch, of_parts=False)


def _unknown_releases(patch: Patch) -> None:
    happen = OrderTable.happen

    def released(self: Any, known: Any, *what: Any) -> None:
        happen(self, known, *what)
        if known.state is S.UNKNOWN:
            self.ledger.commit(known.order, 0)
            self.exposure.live(known.order, 0)

    patch.setattr(OrderTable, "happen", released)


def _a_start_looks_back_an_hour(patch: Patch) -> None:
    since = Reconciler._fills_since
    hour_ns = 3_600 * 10**9
    patch.setattr(Reconciler, "_fills_since", lambda s, now: max(since(s, now), now - hour_ns))


def _pauses_are_of_minutes(patch: Patch) -> None:
    patch.setattr(world, "PAUSE_H", (0.05, 0.06))


def _a_clean_up_changes_its_list(patch: Patch) -> None:
    def walks(self: Any, written: Any, now_ns: int) -> None:
        old = [path for path in segments(self._folder) if path.name < written.name]
        for path, _ in zip(old, list(old), strict=True):
            if now_ns - self._segment_first_ns > self._keep_ns or len(old) > 2:
                path.unlink()
                old.remove(path)

    _pauses_are_of_minutes(patch)
    patch.setattr(TapeWriter, "_keep_budget", walks)


def _an_aid_s_error_ends_the_engine(patch: Patch) -> None:
    def raised(_: Any, error: Exception) -> None:
        raise RuntimeError(f"the tape's thread has died: {error}")

    _a_clean_up_changes_its_list(patch)
    patch.setattr(TapeWriter, "leave_out", raised)


def _a_tick_is_one_turn(patch: Patch) -> None:
    moments = Engine.moments

    def at_once(self: Any) -> Any:
        for _ in moments(self):
            pass
        yield

    patch.setattr(Engine, "moments", at_once)


def _zero_is_that_of_one_account(patch: Patch) -> None:
    cover = ProofRun.cover

    def first_alone(self: Any, runner: Any, now_ns: int) -> None:
        if not self.runners:
            cover(self, runner, now_ns)

    patch.setitem(PER_MINUTE, F.KILL, 2.0)
    patch.setattr(ProofRun, "cover", first_alone)


def _the_tape_is_never_cleaned_up(patch: Patch) -> None:
    _pauses_are_of_minutes(patch)
    patch.setattr(TapeWriter, "_keep_budget", lambda *_: None)


def _an_operation_waits_for_ever(patch: Patch) -> None:
    # Pauses of minutes, and many: one must begin while an operation waits.
    _pauses_are_of_minutes(patch)
    patch.setattr(world, "PAUSES_MAX", 1_000)
    patch.setitem(PER_MINUTE, F.PAUSED, 3.0)
    patch.setattr(SafetyLane, "veto", lambda *_: "")


def _a_typed_cost_shifts_the_anchor(patch: Patch) -> None:
    patch.setattr(
        CashMoves, "_tokens_came", lambda s, e, *_: s._breakers.cash_moved(e.amount_micro)
    )


def _tokens_before_a_book_are_a_gain(patch: Patch) -> None:
    patch.setattr(Breakers, "tokens_came", lambda *_: None)


def _tokens_go_to_whoever_is_first(patch: Patch) -> None:
    take_in = Ledger.take_in

    def credited(self: Any, key: Any, *came: Any, **when: Any) -> Any:
        *tokens, owner = came
        return take_in(self, key, *tokens, next(iter(self.holders(key)), owner), **when)

    patch.setattr(Ledger, "take_in", credited)


def _voids_are_ignored(patch: Patch) -> None:
    advance = Ledger.advance

    def unfailing(self: Any, fill: Any, new: Any, *when: Any) -> Any:
        return advance(self, fill, FillState.RETRYING if new is FillState.FAILED else new, *when)

    patch.setattr(Ledger, "advance", unfailing)


def _start_is_no_recovery(patch: Patch) -> None:
    make = accounts.executor_of

    def made(settings: Any, fence: int) -> Any:
        executor, gate = make(settings, fence)
        executor._started, executor._blocks.recovering = True, False
        return executor, gate

    patch.setattr(accounts, "executor_of", made)
    receive = AccountCore.receive

    def unasked(self: Any, given: Any, now: int) -> Any:
        return [] if isinstance(given, StartedOver) else receive(self, given, now)

    patch.setattr(AccountCore, "receive", unasked)


def _health_is_ignored(patch: Patch) -> None:
    health = TradingHalts._health
    patch.setattr(
        TradingHalts, "_health", lambda s, event, now: event.healthy and health(s, event, now)
    )


def _mode_is_ignored(patch: Patch) -> None:
    patch.setattr(Blocks, "take_mode", lambda *_: None)
    patch.setattr(PlacesLane, "mode", lambda *_: None)


def _risk_allows_all(patch: Patch) -> None:
    patch.setattr(RiskGate, "check", lambda _, proposal, **__: Allowed(proposal.size))


def _status_goes_back(patch: Patch) -> None:
    patch.setitem(MOVES, (S.OPEN, H.ACCEPTED), (S.SENT, QUIET))


def _an_unanswered_listing_contradicts(patch: Patch) -> None:
    advance = Reconciler.advance

    def counted(self: Any, now_ns: int) -> None:
        advance(self, now_ns)
        for known in self._table.unknown.values():
            known.unlisted = known.asks

    patch.setattr(Reconciler, "advance", counted)


def _missed_fills_stay_missed(patch: Patch) -> None:
    patch.setattr(Reconciler, "fills_listed", _unbooked)
    patch.setattr(Reconciler, "request_fills", lambda *_: None)


def _unbooked(self: Any, event: Any, now_ns: int) -> None:
    known = tuple(f for f in event.fills if f.fill in self._table.ledger.state.fills.states)
    questions = self.questions
    asked_ns = questions.answered("QueryFills", event.answers)
    for fill in known:
        self._book(fill, now_ns)
    if asked_ns is not None:
        questions.fills_ok_ns = asked_ns
    questions.repeat("QueryFills", now_ns, urgent=False)
    self._recovered()


def _nobody_is_asked_once_more(patch: Patch) -> None:
    patch.setattr(PlacesLane, "veto_in_flight", lambda *_: "")


def _lease_is_not_asked(patch: Patch) -> None:
    patch.setattr(Journal, "stale", False)


def _mode_lasts_for_ever(patch: Patch) -> None:
    patch.setattr(ModeBelief, "age", lambda *_: False)


def _part_is_not_held(patch: Patch) -> None:
    patch.setattr(Blocks, "held_by", lambda *_: None)


def _part_is_not_looked_for(patch: Patch) -> None:
    _not_looked_for(patch, of_parts=True)


def _capital_binds_nobody(patch: Patch) -> None:
    patch.setattr(RiskGate, "bot_max_micro", lambda self, _: self._bot_max)


def _markets_are_not_summed(patch: Patch) -> None:
    listed = ExposureBook.listed

    def alone(self: Any, instrument: Any) -> None:
        listed(self, instrument)
        risk = self.of(instrument.id)
        risk.market_sum = MarketRisk(one_wins=False)
        risk.market_sum.micro = risk.micro

    patch.setattr(ExposureBook, "listed", alone)


def _rows_judge_for_themselves(patch: Patch) -> None:
    asked: dict[int, int] = {}

    def not_found(fold: Any, event: Any, record: Any) -> None:
        asked[event.order] = asked.get(event.order, 0) + 1
        row = fold.rows.find(OrderRow, event.account, event.order)
        if row is not None and row.state is S.UNKNOWN and asked[event.order] == 2:
            row.state = S.CANCELLED
            fold.rows.put(row)

    patch.setitem(HANDLERS, "OrderNotFound", [not_found])


def _a_start_reports_no_rows(patch: Patch) -> None:
    recover = Executor._recover

    def silent(self: Any, now_ns: int) -> None:
        recover(self, now_ns)
        self._table.unjournaled.clear()

    patch.setattr(Executor, "_recover", silent)


def _a_resolution_pays(patch: Patch) -> None:
    resolve = Ledger.resolve

    def pays(self: Any, instrument: Any, payout_yes_micro: int) -> None:
        resolve(self, instrument, payout_yes_micro)
        state, held = self.state, self.holding(instrument)
        state.cash_settled_micro += held.redeemable_micro
        state.redeemable_micro -= held.redeemable_micro
        held.redeemable_micro = held.yes.redeemable = held.no.redeemable = 0

    patch.setattr(Ledger, "resolve", pays)


def _payments_are_not_remembered(patch: Patch) -> None:
    redeemed = WalletOperations.redeemed

    def forgetful(self: Any, event: Any, now_ns: int) -> None:
        self.state.booked.clear()
        redeemed(self, event, now_ns)

    patch.setattr(WalletOperations, "redeemed", forgetful)


def _losers_win(patch: Patch) -> None:
    patch.setattr(
        settlement, "payouts", lambda held, payout: ((held.yes, payout or MICRO), (held.no, MICRO))
    )


def _winners_are_money(patch: Patch) -> None:
    plan = planning.plan

    def rich(*args: Any, cash_free_micro: int, **facts: Any) -> Any:
        return plan(*args, cash_free_micro=cash_free_micro + 10**12, **facts)

    patch.setattr(planning, "plan", rich)
    patch.setattr(Ledger, "_must_be_free", lambda *_: None)
    patch.setattr(Ledger, "reserve", lambda self, order: self.commit(order, order.size))


def _silence_is_no_redemption(patch: Patch) -> None:
    def hasty(self: Any, *_: Any) -> None:
        for operation in list(self.state.operations.values()):
            self._end(operation, 0)

    patch.setattr(WalletOperations, "_unanswered", hasty)
    patch.setattr(WalletOperations, "start", hasty)


def _converts(patch: Patch, wrong: Callable[[Any, Any], None]) -> None:
    convert = Ledger.convert

    def converted(self: Any, event: Any, owner: Any = None) -> Any:
        booked = convert(self, event, owner)
        wrong(self, event)
        return booked

    patch.setattr(Ledger, "convert", converted)


def _merges_burn_one_leg(patch: Patch) -> None:
    def kept(self: Any, event: Any) -> None:
        if event.size < 0:
            self.holding(event.instrument).no.settled -= event.size

    _converts(patch, kept)


def _splits_cost_nothing(patch: Patch) -> None:
    def given(self: Any, event: Any) -> None:
        if event.size > 0:
            self.state.cash_settled_micro += event.amount_micro

    _converts(patch, given)


def _an_unknown_merge_has_failed(patch: Patch) -> None:
    doubted = WalletOperations._doubted

    def failed(self: Any, operation: Any, now_ns: int, reason: str) -> None:
        if isinstance(operation.effect, MergePairs):
            self._end(operation, now_ns)
        else:
            doubted(self, operation, now_ns, reason)

    patch.setattr(WalletOperations, "_doubted", failed)


def _owners_are_lost_at_a_restart(patch: Patch) -> None:
    restore = Ledger.restore

    def merged(self: Any, state: Any) -> None:
        for holders in state.owned.values():
            for owner, held in list(holders.items())[1:]:
                first = next(iter(holders.values()))
                for mine, theirs in ((first.yes, held.yes), (first.no, held.no)):
                    for name in type(mine).__struct_fields__:
                        setattr(mine, name, getattr(mine, name) + getattr(theirs, name))
                for name in ("realised_micro", "fees_micro", "redeemable_micro"):
                    setattr(first, name, getattr(first, name) + getattr(held, name))
                del holders[owner]
        restore(self, state)

    patch.setattr(Ledger, "restore", merged)


def _transfers_are_lost_at_a_restart(patch: Patch) -> None:
    receive = Executor.receive

    def forgetting(self: Any, given: Any, now_ns: int) -> Any:
        lost = type(given) is HoldingTransferred and not self._started
        return [] if lost else receive(self, given, now_ns)

    patch.setattr(Executor, "receive", forgetting)


def _lost_transfers_stay_lost(patch: Patch) -> None:
    messages = Known.messages

    def unread(self: Any) -> Any:
        self.transfers.clear()
        return messages(self)

    patch.setattr(Known, "messages", unread)


def _owners_cross(patch: Patch) -> None:
    plan = planning.plan
    patch.setattr(planning, "behind", lambda levels, _: levels)
    patch.setattr(
        planning, "plan", lambda *a, **k: plan(*a, **(k | {"others": planning.NOTHING_AHEAD}))
    )


def _a_person_crosses_bots(patch: Patch) -> None:
    patch.setattr(ByHand, "_meets_own", lambda *_: ())


def _a_person_sells_what_bots_hold(patch: Patch) -> None:
    unpaid = ByHand._unpaid

    def of_all(self: Any, entry: Any, asked: Any) -> str:
        if asked.side is Side.BUY or entry.instrument.product.signed:
            return unpaid(self, entry, asked)
        leg = self._table.ledger.holding(entry.instrument.id).leg(asked.leg)
        return "" if asked.size <= leg.settled - leg.reserved else "not enough"

    patch.setattr(ByHand, "_unpaid", of_all)
    patch.setattr(Ledger, "_must_be_free", lambda *_: None)


def _transfers_book_one_side(patch: Patch) -> None:
    transfer = Ledger.transfer

    def given(self: Any, event: Any, **when: Any) -> Any:
        booked = transfer(self, event, **when)
        taken = self.owned(event.instrument, event.to_owner).leg(event.leg)
        taken.settled -= event.size
        return booked

    patch.setattr(Ledger, "transfer", given)


def _the_first_owner_gets_every_fill(patch: Patch) -> None:
    book = Ledger.book

    def credited(self: Any, order: Any, event: Any, now_ns: int) -> Any:
        owner = next(iter(self.holders(order.instrument)), order.bot)
        if order.side is Side.BUY:
            order = msgspec.structs.replace(order, bot=owner)
        return book(self, order, event, now_ns)

    patch.setattr(Ledger, "book", credited)


def _books_pairs(patch: Patch, **changes: Any) -> None:
    book = Ledger.book

    def wrong(self: Any, order: Any, event: Any, now_ns: int) -> Any:
        if order.leg is Leg.BASE:
            event = msgspec.structs.replace(event, **changes)
        return book(self, order, event, now_ns)

    patch.setattr(Ledger, "book", wrong)


def _a_pairs_fee_is_dropped(patch: Patch) -> None:
    _books_pairs(patch, fee_micro=0)


def _a_fees_asset_is_dropped(patch: Patch) -> None:
    _books_pairs(patch, fee=msgspec.UNSET)


def _a_final_fill_is_pending(patch: Patch) -> None:
    _books_pairs(patch, state=FillState.MATCHED)


def _the_exchange_makes_bitcoins(patch: Patch) -> None:
    confirm = ExchangeLedger.confirm

    def twice(self: Any, fill: Any) -> None:
        confirm(self, fill)
        if fill.leg is Leg.BASE and fill.side is Side.BUY:
            self.wallets[fill.customer].tokens(fill.instrument, fill.leg).settled += 1_000

    patch.setattr(ExchangeLedger, "confirm", twice)


def _all_money_is_one(patch: Patch) -> None:
    patch.setattr(Instrument, "not_counted_in", lambda *_: "")


MUTANTS = (
    Mutant("all money is one", _all_money_is_one, (), 1, spot=True, first=ABROAD_AT),
    Mutant("a pair's fee is dropped", _a_pairs_fee_is_dropped, (), 12, 2.0, spot=True, first=3),
    Mutant("a third asset's fee is dropped", _a_fees_asset_is_dropped, (), 12, spot=True, first=1),
    Mutant("a fee of what came is dropped", _a_fees_asset_is_dropped, (), 12, spot=True, first=6),
    Mutant("a final fill is pending", _a_final_fill_is_pending, (), 12, 2.0, spot=True),
    Mutant("the exchange makes bitcoins", _the_exchange_makes_bitcoins, (), spot=True),
    Mutant("owners are lost at a restart", _owners_are_lost_at_a_restart, (F.CRASH,), 24, 2.0),
    Mutant("two owners cross", _owners_cross, (), 24, 2.0),
    Mutant("an order by hand meets a bot's", _a_person_crosses_bots, (), 12, 2.0),
    Mutant("a person sells what bots hold", _a_person_sells_what_bots_hold, (), 12, 2.0),
    Mutant("a restart loses a transfer", _transfers_are_lost_at_a_restart, (F.CRASH,), 12, 2.0),
    Mutant(
        "a transfer is lost with the journal",
        _lost_transfers_stay_lost,
        (F.JOURNAL_LOST, F.BACKUP_RESTORED),
        24,
        2.0,
    ),
    Mutant("a transfer books one side", _transfers_book_one_side, (), 12, 2.0),
    Mutant("a fill is another owner's", _the_first_owner_gets_every_fill, (), 12, 2.0),
    Mutant("silence is taken for a refusal", _silence_is_refusal, (F.LOST_AFTER,), 24, 2.0),
    Mutant("a cancel that was only sent releases", _cancel_submit_releases, (F.LOST_BEFORE,)),
    Mutant("pending tokens count as settled", _pending_is_settled, (F.REPORT_LATE,)),
    Mutant("a replacement SELL does not wait", _sells_overlap, (F.REORDERED,)),
    Mutant("what is UNKNOWN is planned anew", _unknown_is_nothing, (F.LOST_AFTER,)),
    Mutant("KILL drops no queued place", _kill_waits, (F.KILL, F.THROTTLED), 12, 2.0),
    Mutant("a restart forgets the day's loss", _day_is_forgotten, (F.CRASH,), 12),
    Mutant("a daily stop lifts with a restart", _restart_lifts_the_stop, (F.CRASH,), 64, 3.0),
    Mutant("each life begins the day anew", _each_run_begins_the_day, (F.CRASH,), 12, 2.0),
    Mutant("lost numbers are used again", _numbers_begin_again, (F.JOURNAL_LOST,), 12, 2.0),
    Mutant(
        "a copy's first cash counts twice",
        _the_first_cash_of_a_copy_stands,
        (F.FIRST_HOME_PUT_BACK,),
        12,
        2.0,
    ),
    Mutant(
        "first cash is counted at once",
        _first_cash_is_counted_at_once,
        (F.FIRST_HOME_PUT_BACK,),
        24,
        2.0,
    ),
    Mutant("a copy put back trades on", _the_floor_is_what_was_made, (F.HOME_PUT_BACK,), 12, 3.0),
    Mutant(
        "a backup's numbers are used again", _numbers_begin_again, (F.BACKUP_RESTORED,), 12, 3.0
    ),
    Mutant(
        "a KILL's release trades on a copy",
        _a_kill_s_release_settles_all,
        (F.HOME_PUT_BACK, F.KILL),
        24,
        3.0,
    ),
    Mutant("lost operations number others", _operations_begin_again, (F.JOURNAL_LOST,), 16, 4.0),
    Mutant("lost fills stay lost", _lost_fills_stay_lost, (F.JOURNAL_LOST,), 12, 2.0),
    Mutant("it looks back an hour", _a_start_looks_back_an_hour, (F.PAUSED, F.REPORT_LOST), 8, 2.0),
    Mutant("a tick is one turn", _a_tick_is_one_turn, (), 2, accounts=1, crowd=5),
    Mutant(
        "a zero is that of one account",
        _zero_is_that_of_one_account,
        (F.KILL, F.LOST_BEFORE, F.LATE_REQUEST),
        4,
        accounts=1,
        crowd=8,
    ),
    Mutant("a clean-up loses the tape", _a_clean_up_changes_its_list, TAPED, 4, accounts=1),
    Mutant("a clean-up ends the engine", _an_aid_s_error_ends_the_engine, TAPED, 4, accounts=1),
    Mutant("no clean-up", _the_tape_is_never_cleaned_up, TAPED, 4, 2.0, accounts=1),
    Mutant(
        "an operation leaves after a sleep",
        _an_operation_waits_for_ever,
        (F.PAUSED, F.THROTTLED, F.VENUE_CONVERTS),
        3,
        3.0,
    ),
    Mutant("a typed cost is an anchor", _a_typed_cost_shifts_the_anchor, (F.TOKENS_COME,), 12, 2.0),
    Mutant(
        "tokens before a book are a gain",
        _tokens_before_a_book_are_a_gain,
        (F.TOKENS_COME, F.FEED_LOST, F.FEED_SILENT),
        12,
        3.0,
    ),
    Mutant("tokens are another's", _tokens_go_to_whoever_is_first, (F.TOKENS_COME,), 12, 2.0),
    Mutant("the latch is forgotten", _latch_is_forgotten, (F.KILL,), 12, 2.0),
    Mutant("a duplicate fill is booked twice", _duplicates_are_booked, (F.REPORT_TWICE,)),
    Mutant("one `not found` is believed", _one_not_found_is_believed, (F.LATE_REQUEST,)),
    Mutant("it places while blind", _blind_is_well, (F.FEED_SILENT, F.FEED_CROSSED), 12, 2.0),
    Mutant("it sends what the journal has not named", _names_are_not_kept, ()),
    Mutant("the complement's price is not 1 minus p", _complement_is_wrong, ()),
    Mutant("a stop is proven without looking", _zero_is_not_looked_for, (F.LOST_BEFORE,)),
    Mutant("an UNKNOWN order reserves nothing", _unknown_releases, (F.LOST_AFTER,), 16, 2.0),
    Mutant("a void fill is not reversed", _voids_are_ignored, (F.VOIDED,)),
    Mutant("it trades before the venue was asked", _start_is_no_recovery, ()),
    Mutant("it places with its user feed down", _health_is_ignored, (F.USER_FEED_DOWN,), 12, 2.0),
    Mutant("it does not obey the venue's mode", _mode_is_ignored, (F.CANCEL_ONLY,), 12, 2.0),
    Mutant("risk allows everything", _risk_allows_all, ()),
    Mutant("a status goes back to SENT", _status_goes_back, (F.TWICE,)),
    Mutant(
        "an unanswered listing contradicts",
        _an_unanswered_listing_contradicts,
        (F.LISTING_OUTAGE, F.REPORT_LOST, F.LOST_AFTER, F.USER_FEED_SILENT),
        minutes=6.0,
    ),
    Mutant("a fill that was not told stays unknown", _missed_fills_stay_missed, (F.REPORT_LOST,)),
    Mutant(
        "a hung engine sends where it stood",
        _nobody_is_asked_once_more,
        (F.SECOND_ENGINE,),
        40,
        6.0,
    ),
    Mutant("a KILL of a part holds nothing", _part_is_not_held, (F.KILL_PART,), 12, 2.0),
    Mutant(
        "its zero is not looked for", _part_is_not_looked_for, (F.KILL_PART, F.LOST_BEFORE), 24, 3.0
    ),
    Mutant("the lease is not asked", _lease_is_not_asked, (F.SECOND_ENGINE,), 12, 2.0),
    Mutant(
        "a closed mode never ends",
        _mode_lasts_for_ever,
        (F.DISABLED, F.CANCEL_ONLY, F.LATE_ANSWER, F.REPORT_TWICE),
        24,
        2.0,
    ),
    Mutant("a bot's capital binds nobody", _capital_binds_nobody, (), 24, 2.0),
    Mutant("a market's instruments count alone", _markets_are_not_summed, (), 12, 2.0),
    Mutant("two `not found` end a row", _rows_judge_for_themselves, (F.LOST_BEFORE,)),
    Mutant("a start does not say what is unknown", _a_start_reports_no_rows, (F.CRASH,), 24, 2.0),
    Mutant("a resolution pays at once", _a_resolution_pays, ()),
    Mutant(
        "a redemption is booked twice",
        _payments_are_not_remembered,
        (F.REPORT_TWICE, F.CRASH_REDEEMING),
        24,
        2.0,
    ),
    Mutant("a loser is redeemable", _losers_win, ()),
    Mutant("winners are spendable", _winners_are_money, (), 12, 2.0),
    Mutant(
        "a redemption without an answer is asked for again",
        _silence_is_no_redemption,
        (F.BROKEN, F.CRASH_REDEEMING),
        12,
        2.0,
    ),
    Mutant("a merge burns one leg alone", _merges_burn_one_leg, (), 12, 2.0),
    Mutant("a split costs nothing", _splits_cost_nothing, (F.VENUE_CONVERTS,), 12, 2.0),
    Mutant(
        "a merge nobody answered is asked for again",
        _an_unknown_merge_has_failed,
        (F.LOST_BEFORE, F.LOST_AFTER, F.REPORT_LOST),
        12,
        4.0,
    ),
)
