"""What `recover` learns of orders that ended, and that neither journal nor state ever named."""

from __future__ import annotations

import time

import pytest

from engine.domain.events import InstrumentListed, LossAccepted
from engine.domain.instruments import Mode
from engine.domain.orders import OrderType
from engine.domain.settings import AccountSettings
from engine.executor.executor import Executor
from engine.gateway.door import Prepared
from engine.live import lost_records
from engine.runtime.recovery import executor_of, remember
from engine.venues.polymarket.account.venue import PolymarketVenue
from storage.loss import Known
from storage.projection import Loss
from tests.fakes.polymarket.clock import Clock
from tests.fakes.polymarket.listing import instrument_of
from tests.fakes.polymarket.server import Served, serving
from tests.venues.polymarket.adapter import (
    LIVE,
    SHARE,
    adapter,
    credentials,
    order,
    taking,
    urls_of,
)
from tests.venues.polymarket.kit import RAIN, Trader, by_slug, quick


async def traded(served: Served) -> Prepared:
    """Take and make, ten shares each, to the end; return an order that rests."""
    market = by_slug(served, RAIN)
    async with adapter(served) as (venue, instrument), Trader(served, 2) as other:
        rests = venue.prepare(order(instrument, 1))
        await venue.send(rests)
        await other.place(market, "BUY", "0.55", "20", outcome=1)
        await venue.send(venue.prepare(taking(instrument, 45, 10, OrderType.FAK)))
        await venue.send(venue.prepare(order(instrument, 40, 10)))
        await other.rich(market)
        await other.place(market, "SELL", "0.40", "10", kind="FAK")
    return rests


def known_of(rests: Prepared) -> Known:
    """A journal that has the order that rests and nothing after it."""
    number = (LIVE, rests.order.id)
    return Known(last={LIVE: rests.order.id}, have={number}, identities={number: rests.identity})


def executor(known: Known, answer: lost_records.VenueAnswer) -> Executor:
    """An executor that has read what is written."""
    settings = AccountSettings(name=LIVE, venue="polymarket", mode=Mode.LIVE, currency="pUSD")
    made, _ = executor_of(settings, 1)
    for instrument in known.instruments.values():
        made.receive(InstrumentListed(instrument=instrument), 1)
    for _, message, at_ns in lost_records._messages(known, {LIVE: answer}, time.time_ns()):
        remember(made, message, at_ns)
    return made


def written_for(known: Known, answer: lost_records.VenueAnswer) -> list[LossAccepted]:
    """What is written of an acceptance by an account."""
    loss = Loss(journal_seq=1, projected_seq=1, crc=0)
    made = lost_records._accepted(loss, known, {LIVE: answer}, [LIVE], who="ann", now_ns=1)
    return [one for _, one, _ in made if isinstance(one, LossAccepted)]


async def asked(venue: PolymarketVenue, known: Known) -> lost_records.VenueAnswer:
    return await lost_records._ask(venue, LIVE, known)


@pytest.mark.parametrize("by", ["journal", "state"])
async def test_fills_of_orders_that_ended_without_a_name_here_are_booked(by: str) -> None:
    """The market is known to the journal, or to pitboss.db alone."""
    async with serving(quick(), clock=Clock(time.time_ns())) as served:
        rests = await traded(served)
        known = known_of(rests)
        async with adapter(served) as (venue, instrument):
            heard = known.instruments if by == "journal" else known.terms
            heard[instrument.id] = instrument
            answer = await asked(venue, known)
        assert not written_for(known, answer)[0].recount  # its orders were made here
        above = rests.order.id
        assert [one.id for one in answer.orders] == [above + 1, above + 2]
        assert not answer.unlisted
        assert lost_records._next_order_above(known, {LIVE: answer}, LIVE) > above + 2
        book = executor(known, answer)
        assert book.ledger.holding(instrument.id).yes.total == 20 * SHARE
        fee = instrument.taker_fee_micro(4_500, 10 * SHARE)
        assert book.ledger.state.fees_micro == fee
        assert {str(one.state) for one in map(book.record, (above + 1, above + 2)) if one} == {
            "filled"
        }


async def test_once_written_they_are_asked_for_no_more() -> None:
    async with serving(quick(), clock=Clock(time.time_ns())) as served:
        known = known_of(await traded(served))
        async with adapter(served) as (venue, instrument):
            known.instruments[instrument.id] = instrument
            answer = await asked(venue, known)
        known.names |= answer.names
        known.have |= {(LIVE, one.id) for one in answer.orders}
        known.last[LIVE] = max(one.id for one in answer.orders)
        async with adapter(served) as (venue, _):
            again = await asked(venue, known)
        assert not again.orders
        assert again.fills is not None
        assert len(again.fills.fills) == 2


async def test_an_order_in_a_market_that_no_file_knows_is_named_and_not_booked() -> None:
    async with serving(quick(), clock=Clock(time.time_ns())) as served:
        known = known_of(await traded(served))
        venue = await PolymarketVenue.open(
            LIVE, credentials(), now_ns=time.time_ns, urls=urls_of(served)
        )
        answer = await asked(venue, known)
        await venue.close()
        assert not answer.orders
        where = f" in {instrument_of(by_slug(served, RAIN)).id}"
        assert [one.endswith(where) for one in answer.unlisted] == [True, True]
        assert answer.fills is not None
        assert answer.fills.fills == ()


async def test_what_a_key_did_before_its_home_began_is_not_lost() -> None:
    async with serving(quick(), clock=Clock(time.time_ns())) as served:
        await traded(served)
        known = Known()
        async with adapter(served) as (venue, instrument):
            known.instruments[instrument.id] = instrument
            answer = await asked(venue, known)
        assert [one.id for one in answer.orders] == [1]  # the one that is open
        (accepted,) = written_for(known, answer)
        assert accepted.recount  # what it fills is not in the first cash as well
        assert answer.fills is not None
        assert answer.fills.fills == ()
