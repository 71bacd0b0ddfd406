"""A planted key is in no error, no log, no repr and no event."""

from __future__ import annotations

import logging
import pickle
import time
import traceback
from typing import Any

import pytest

from engine.errors import (
    AuthRefused,
    ConfigError,
    OutcomeUnknown,
    PitbossError,
    Throttled,
    VenueClosed,
)
from engine.venues.polymarket.account.credentials import Credentials
from engine.venues.polymarket.account.venue import PolymarketVenue
from tests.fakes.polymarket.listing import instrument_of
from tests.fakes.polymarket.server import Served
from tests.venues.polymarket.adapter import LIVE, named, order, urls_of
from tests.venues.polymarket.kit import RAIN, Trader, by_slug, signer

SCRIPTS = [
    "cloudflare_403",
    "cloudflare_502",
    "not_ready",
    "rate_limited",
    "lost_order_500",
    "no_reply",
    "garbled",
    "unauthorized",
    "invalid_nonce",
]


def report_of(error: BaseException) -> str:
    """Everything a log would write of an error, its causes and its notes."""
    return "".join(traceback.format_exception(error)) + repr(error) + str(error.args)


async def planted(served: Served) -> tuple[Credentials, list[str]]:
    """Credentials whose every secret is known, and the secrets."""
    async with Trader(served) as trader:
        key, secret, passphrase = (trader.creds[n] for n in ("apiKey", "secret", "passphrase"))
    private_key = signer(1).key.hex().removeprefix("0x")
    made = Credentials(
        private_key=private_key,
        wallet=signer(1).address,
        api_key=key,
        api_secret=secret,
        api_passphrase=passphrase,
    )
    return made, [private_key, key, secret, passphrase]


async def test_no_error_log_repr_or_event_shows_a_planted_secret(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    made, secrets = await planted(served)
    caplog.clear()
    instrument = instrument_of(by_slug(served, RAIN))
    venue = await PolymarketVenue.open(LIVE, made, now_ns=time.time_ns, urls=urls_of(served))
    written: list[str] = [repr(made), str(made), f"{made}", repr(venue), repr(vars(venue))]
    await venue.list_market(instrument)
    for script in SCRIPTS:
        await served.control("faults", script=script, times=1)
        prepared = venue.prepare(order(instrument))
        written.append(await spoken(venue, prepared))
    written.append(repr(await venue.open_orders()) + repr(await venue.balances()))
    await venue.close()
    written.append(caplog.text)
    shown = "\n".join(written).lower()
    assert [secret for secret in secrets if secret.lower() in shown] == []


async def spoken(venue: PolymarketVenue, prepared: Any) -> str:
    try:
        return repr(await venue.send(prepared)) + repr(await venue.cancel([named(prepared)]))
    except PitbossError as error:
        return report_of(error)


@pytest.mark.parametrize(
    "wrong",
    [
        {"private_key": "0x" + "5ec4e7" * 10},
        {"private_key": "5ec4e7 not hex at all".ljust(64, "z")},
        {"private_key": "f" * 64},
        {"private_key": "0" * 64},
        {"wallet": "0x1234"},
        {"api_key": "5ec4e7-key", "api_secret": "5ec4e7-secret"},
    ],
)
def test_refused_credential_names_the_field_and_not_its_value(wrong: dict[str, str]) -> None:
    given = {"private_key": "0x" + "5ec4e7ab" * 8, "wallet": signer(1).address} | wrong
    with pytest.raises(ConfigError) as refused:
        Credentials(**given)
    message = str(refused.value)
    assert "5ec4e7" not in message
    assert not any(value in message for name, value in given.items() if name != "wallet")


async def test_key_the_venue_does_not_know_is_refused_without_showing_it(served: Served) -> None:
    await served.control("faults", kind="status", path="/auth", args={"status": 401, "body": {}})
    made = Credentials(private_key=signer(1).key.hex(), wallet=signer(1).address)
    with pytest.raises(AuthRefused) as refused:
        await PolymarketVenue.open(LIVE, made, now_ns=time.time_ns, urls=urls_of(served))
    assert signer(1).key.hex().removeprefix("0x") not in report_of(refused.value)


async def test_venue_in_trouble_says_nothing_about_the_key(served: Served) -> None:
    made = Credentials(private_key=signer(1).key.hex(), wallet=signer(1).address)
    for status, expected in ((502, OutcomeUnknown), (425, VenueClosed), (429, Throttled)):
        args = {"status": status, "body": {"error": "later"}}
        await served.control("faults", kind="status", path="/auth", args=args, times=1)
        with pytest.raises(expected):
            await PolymarketVenue.open(LIVE, made, now_ns=time.time_ns, urls=urls_of(served))


def test_credentials_are_written_nowhere() -> None:
    made = Credentials(private_key=signer(1).key.hex(), wallet=signer(1).address)
    with pytest.raises(TypeError):
        pickle.dumps(made)
    assert not hasattr(made, "__dict__")
