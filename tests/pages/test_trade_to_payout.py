"""A live account at the fake of Polymarket, from a search to the payout: by screen, then by CLI.

Screenshots go to the folder SCREENSHOTS names, else to a temporary one.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from engine.__main__ import main
from engine.domain.instruments import Leg
from tests.live.polymarket_programs import ACCOUNT, SIGNER
from tests.pages.desks import (
    CHROMIUM,
    VenueDesk,
    heading,
    opened,
    press_until,
    sign_in,
    takes,
    visit,
)
from tests.venues.polymarket.kit import CUP, RAIN, signer, wallet

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        CHROMIUM is None, reason="these tests need Chromium: apt-get install chromium"
    ),
]
BOOK = ((Leg.YES, 40, 500), (Leg.NO, 59, 500))
"""Somebody bids 40¢ for YES and, by 59¢ for NO, offers it at 41¢."""
SHARES = 10


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VenueDesk]:
    made = VenueDesk(tmp_path_factory.mktemp("venue"))
    try:
        for slug in (RAIN, CUP):
            made.venue.quoted(slug, *BOOK)
        made.venue.until(lambda: beats(made), "the account is reconciled and its heartbeat beats")
        yield made
    finally:
        made.stop()


def beats(desk: VenueDesk) -> bool:
    beat = desk.venue.heartbeat()
    return beat is not None and beat.beating and not beat.reason


def seen(desk: VenueDesk, sql: str) -> None:
    desk.venue.until(lambda: desk.venue.rows(sql), sql)


def settled(desk: VenueDesk, market: str, shares: int) -> None:
    """Wait until so much of a market's YES is held, settled, and nothing else."""
    sql = (
        "SELECT yes_settled, yes_pending, no_settled, no_pending FROM holdings "
        f"WHERE instrument = '{market}'"
    )
    wanted = [(shares * 1_000_000, 0, 0, 0)]
    desk.venue.until(lambda: desk.venue.rows(sql) == wanted, f"{shares} of {market} are settled")


def agrees(desk: VenueDesk) -> None:
    """Wait until the ledger's cash is the venue's, and no token is left there."""
    purse = {"wallet": wallet(signer(SIGNER), 3), "signer": signer(SIGNER).address}

    def same() -> bool:
        theirs = desk.venue.hand("/wallet", purse)
        ((ours,),) = desk.venue.rows("SELECT settled_micro FROM capital")
        return not theirs["tokens"] and theirs["cash"]["settled"] == ours

    desk.venue.until(same, "cash and tokens are the venue's to the unit")
    assert desk.venue.problems() == []


def answered(page: Page, text: str) -> None:
    expect(page.get_by_text(re.compile(f"^Command: done.*{text}")).first).to_be_visible()


def bought(page: Page) -> None:
    """Buy by the ticket what is offered."""
    takes(page)
    page.get_by_label(re.compile("^Price, ")).fill("41")
    page.get_by_label("Size", exact=True).fill(str(SHARES))
    phrase = page.get_by_label(re.compile("^Type "))
    press_until(page.get_by_role("button", name="Show what will happen"), phrase)
    confirmed(page, "Place the order")
    answered(page, "is filled")


def confirmed(page: Page, label: str) -> None:
    """Type the account's name where real money is moved, and press."""
    phrase = page.get_by_label(re.compile("^Type "))
    phrase.fill(ACCOUNT)
    phrase.press("Enter")
    sent = page.get_by_role("button", name=label)
    expect(sent).to_be_enabled()
    sent.click()


def test_a_trader_goes_from_a_search_to_the_payout_by_the_screen(
    desk: VenueDesk, browser: Browser, tmp_path: Path
) -> None:
    folder = Path(os.environ.get("SCREENSHOTS", tmp_path))
    (market,) = desk.venue.conditions(RAIN)
    with opened(browser, viewport={"width": 1440, "height": 900}) as page:

        def picture(name: str) -> None:
            page.screenshot(path=folder / f"payout-{name}.png")
            assert page.get_by_test_id("stException").count() == 0

        sign_in(page, desk, "/markets")
        page.get_by_role("button", name="Fetch the list").click()
        words = page.get_by_placeholder("words from question")
        words.fill("lisbon rain")
        words.press("Enter")
        expect(page.get_by_text("1 market", exact=True)).to_be_visible()
        there = page.get_by_text("Book, ticket and history of this market")
        press_until(page.get_by_test_id("stDataFrame").first, there, position={"x": 16, "y": 42})
        picture("1-search")

        there.click()
        heading(page, "will it rain in lisbon")
        ladder = page.locator(".pb-ladder").first
        press_until(page.get_by_role("button", name=f"Follow it at {ACCOUNT}"), ladder)
        picture("2-market")
        bought(page)
        settled(desk, market, SHARES)
        picture("3-bought")

        phrase = page.get_by_label(re.compile("^Type "))
        press_until(page.get_by_role("button", name="Flatten…"), phrase)
        picture("4-flatten")
        confirmed(page, "Flatten the position")
        answered(page, "will it rain in lisbon is flat")
        picture("5-flat")

        bought(page)
        settled(desk, market, SHARES)
        desk.venue.hand("/resolve", {"condition": market.partition(":")[2], "payout": 1})
        visit(page, "/positions")
        redeem = page.get_by_role("button", name=re.compile("^Redeem 10.00"))
        expect(redeem).to_be_visible()
        picture("6-redeemable")
        now = page.get_by_role("button", name="REDEEM NOW")
        press_until(redeem, now)
        picture("7-redeem")
        now.click()
        answered(page, "redemption of will it rain in lisbon is")
        agrees(desk)  # the answer comes after 25 s at the latest, the payout when it comes
        picture("8-paid")


Said = Callable[..., tuple[int, str]]


@pytest.fixture
def said(
    desk: VenueDesk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Said:
    """Return what runs one command of the command line and gives its code and what it printed."""
    monkeypatch.setenv("PITBOSS_HOME", str(desk.config.home))

    def run(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        return main(list(words)), capsys.readouterr().out

    return run


def test_a_trader_goes_from_a_search_to_the_payout_by_the_command_line(
    desk: VenueDesk, said: Said
) -> None:
    (market,) = desk.venue.conditions(CUP)
    here = (f"account={ACCOUNT}", f"instrument={market}")
    code, text = said("command", "run-job", "job=markets")
    assert (code, "queued as job " in text) == (0, True)
    listing = desk.config.markets_path
    desk.venue.until(lambda: listing.is_file() and said("markets", "spain")[0] == 0, "it is listed")
    code, text = said("markets", "cup", "spain", "--json")
    found = json.loads(text)
    assert (code, found["found"], found["markets"][0]["id"]) == (0, 1, market)
    assert f"{market}\n    active   bid 40¢   ask 41¢" in said("markets", market)[1]

    buy = ("command", "place-manual", *here, "leg=yes", "side=buy", "price=0.41", f"size={SHARES}",
           "urgency=cross")  # fmt: skip
    assert said("command", "follow-market", *here)[0] == 0
    seen(desk, f"SELECT 1 FROM books WHERE instrument = '{market}'")
    code, text = said(*buy)
    assert (code, "is filled" in text) == (0, True), text
    settled(desk, market, SHARES)
    code, text = said("command", "flatten", *here, "slippage_max=0.02")
    assert (code, "is flat" in text) == (0, True), text

    code, text = said(*buy)
    assert (code, "is filled" in text) == (0, True), text
    settled(desk, market, SHARES)
    desk.venue.hand("/resolve", {"condition": market.partition(":")[2], "payout": 1})
    seen(desk, "SELECT 1 FROM capital WHERE redeemable_micro > 0")
    code, text = said("command", "redeem", *here)
    assert (code, f"of {market} is" in text) == (0, True), text
    agrees(desk)
