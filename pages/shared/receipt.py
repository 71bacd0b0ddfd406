"""The receipt of a KILL or of a stop: what was cancelled, what is proven, what remains."""

from __future__ import annotations

from html import escape

from engine.errors import PitbossError
from pages.kit import names, panels
from pages.kit.data import ask, engine_id
from pages.kit.names import market
from pages.kit.words import NOTHING, count, moment, utc
from storage.commands import AccountProof, Receipt
from storage.views import Row
from storage.views.frame import listings_of


def html(receipt: Receipt) -> str:
    """Return a receipt: its sentence, its times, and a table of the accounts."""
    tone = "ok" if receipt.proven else "bad"
    word = "PROVEN" if receipt.proven else "NOT PROVEN, the engine keeps trying"
    first = receipt.first_cancel_ns
    until = NOTHING if first is None else f"{(first - receipt.latched_ns) / 1e6:,.1f} ms"
    took = f"{(receipt.reported_ns - receipt.latched_ns) / 1e9:,.1f} s"
    facts = (
        ("Scope", receipt.scope or "everything"),
        ("By", f"{receipt.who}: {receipt.reason}"),
        ("Set", f"{moment(receipt.latched_ns)} = {utc(receipt.latched_ns)}"),
        ("First cancel sent after", until),
        ("Reported after", took),
        ("Missing", "; ".join(receipt.missing) or "nothing"),
    )
    return (
        f'<section class="pb-block pb-receipt"><h4 class="pb-{tone}"><b>{word}</b></h4>'
        f"{panels.facts_html(facts, 'pb-tight')}{''.join(map(_account, receipt.accounts))}"
        "</section>"
    )


def _account(one: AccountProof) -> str:
    inventory = one.inventory or ()
    terms = _terms([name for name, _, _ in inventory])
    held = ", ".join(
        f"{market(name)}: {names.held(name, first, second, terms.get(name, names.UNLISTED))}"
        for name, first, second in inventory
    )
    refused = "; ".join(f"order {number}: {text}" for number, text in one.not_cancelled)
    facts = (
        ("Orders that might fill", f"{one.open_at_latch:,}"),
        ("Cancelled", f"{one.cancelled:,}"),
        ("Not cancelled", refused or "none refused"),
        ("Waited for requests in flight", f"{one.in_flight_waited_ms:,.0f} ms"),
        ("Complete listings without our orders", f"{one.listings:,} (two are needed)"),
        ("Still UNKNOWN / still live", f"{one.unknown:,} / {one.live:,}"),
        ("Orders of others, left alone", count(len(one.foreign), "order")),
        ("Remaining inventory", held or ("none" if one.inventory is not None else "not known")),
        ("Missing for the proof", "; ".join(one.missing) or "nothing"),
    )
    title = f"<h4>{escape(one.account)}, {escape(one.mode.upper())}</h4>"
    return title + panels.facts_html(facts, "pb-tight")


def _terms(instruments: list[str]) -> dict[str, Row]:
    """Return what instruments are counted in; nothing where the state cannot be read."""
    try:
        return ask(listings_of, engine_id(), tuple(instruments))
    except PitbossError:
        return {}  # a receipt is drawn whatever else fails: sizes stand in increments then
