"""Polymarket: its public market for paper accounts, and accounts that trade real money there.

Importing this loads nothing that signs (law R): the account's half comes with its first use.
"""

from __future__ import annotations

from collections.abc import Container

from engine.domain.catalog import CredentialField, Finding, QuoteExpiry
from engine.domain.instruments import AccountId, Mode
from engine.domain.listings import VenueListing
from engine.domain.settings import AccountSettings
from engine.runtime.credentials import Credential
from engine.runtime.services import ClosingVenue, Services
from engine.runtime.venue_plugin import (
    AccountLink,
    AccountSpec,
    Address,
    MarketData,
    SelfTesting,
    VenuePlugin,
    VenueSetup,
)
from engine.runtime.wallets import WalletTape

# ruff: noqa: PLC0415 what trades is loaded by the account that needs it

WALLET_WRONG = "the wallet must be an address of 0x and 40 hex digits"
KEY_WRONG = "the private key must be 64 hex digits: copy it again, in full"


def _market(setup: VenueSetup) -> MarketData:
    from engine.venues.polymarket.market.source import PolymarketMarketData

    return PolymarketMarketData(setup)


def _listing(setup: VenueSetup) -> VenueListing:
    from engine.venues.polymarket.market.rest import GammaListing

    return GammaListing(setup.urls)


def _wallets(setup: VenueSetup) -> WalletTape:
    from engine.venues.polymarket.market.wallets import PolymarketWallets

    return PolymarketWallets(setup.urls)


async def _canary(setup: VenueSetup) -> list[Finding]:
    from engine.venues.polymarket.checks.canary import watched

    return await watched(setup)


def _link(setup: VenueSetup, services: Services, settings: AccountSettings) -> AccountLink:
    from engine.venues.polymarket.account.link import PolymarketLink

    return PolymarketLink(setup, services, settings)


async def _door(
    setup: VenueSetup, account: AccountId, credential: Credential | None
) -> ClosingVenue:
    from engine.venues.polymarket.account.link import opened_door

    return await opened_door(setup, account, credential)


def _check(credential: Credential) -> object:
    from engine.venues.polymarket.account.credentials import Credentials

    return Credentials.of(credential)


async def _examine(
    setup: VenueSetup, credential: Credential, known: Container[str]
) -> list[Finding]:
    from engine.venues.polymarket.checks.examination import examined

    return await examined(setup, credential, known)


async def _selftest(setup: VenueSetup, test: SelfTesting) -> list[Finding]:
    from engine.venues.polymarket.checks.selftest import tested

    return await tested(setup, test)


EXPIRY = QuoteExpiry(least_s=180, early_s=60)
"""It rejects an expiry sooner than this: "at least 3 minutes in the future", says
docs.polymarket.com/trading/place-orders, and its own SDK checks the same."""

LIVE = AccountSpec(
    link=_link,
    door=_door,
    credential_fields=(
        CredentialField(
            name="private_key",
            title="Private key",
            pattern="(?:0[xX])?[0-9a-fA-F]{64}",
            hint="64 hex digits; it never leaves this browser readable",
            wrong=KEY_WRONG,
        ),
        CredentialField(
            name="wallet",
            title="Wallet",
            pattern="0x[0-9a-fA-F]{40}",
            hint="0x and 40 digits",
            wrong=WALLET_WRONG,
            secret=False,
        ),
        CredentialField(
            name="relayer_key",
            title="Relayer key",
            pattern="(?:[!-~]{8,256})?",
            hint="for redeem and merge from here; empty: at the venue",
            wrong="the relayer key must be 8 to 256 letters and digits, or empty",
        ),
        CredentialField(name="relayer_secret", title="Builder's secret", asked=False),
        CredentialField(name="relayer_passphrase", title="Builder's passphrase", asked=False),
        CredentialField(name="api_key", title="API key", asked=False),
        CredentialField(name="api_secret", title="API secret", asked=False),
        CredentialField(name="api_passphrase", title="API passphrase", asked=False),
    ),
    check=_check,
    signs="engine.venues.polymarket.account.venue",
    examine=_examine,
    selftest=_selftest,
    expiry=EXPIRY,
)

PLUGIN = VenuePlugin(
    id="polymarket",
    title="Polymarket",
    about="its public market, on paper or live",
    currency="pUSD",
    modes={Mode.PAPER: AccountSpec(expiry=EXPIRY), Mode.LIVE: LIVE},
    market=_market,
    listing=_listing,
    canary=_canary,
    wallets=_wallets,
    urls={
        "clob": Address("https://clob.polymarket.com", "Polymarket's CLOB over HTTP"),
        "gamma": Address("https://gamma-api.polymarket.com", "Polymarket's market listing"),
        "data": Address("https://data-api.polymarket.com", "Polymarket's index of positions"),
        "relayer": Address("https://relayer-v2.polymarket.com", "Polymarket's relayer of wallets"),
        "geoblock": Address(
            "https://polymarket.com/api/geoblock",
            "where Polymarket says whether it takes orders from here",
        ),
        "ws": Address(
            "wss://ws-subscriptions-clob.polymarket.com",
            "Polymarket's market and user channels, without `/ws/…`",
        ),
        "rtds": Address("wss://ws-live-data.polymarket.com", "Polymarket's older relay of prices"),
        "polybolt": Address(
            "wss://ws-live-v2.polymarket.com/ws",
            "Polymarket's newer relay of prices; needs a data key",
        ),
    },
    secrets=(
        "PITBOSS_POLYMARKET_DATA_KEY",
        "PITBOSS_POLYMARKET_DATA_SECRET",
        "PITBOSS_POLYMARKET_DATA_PASSPHRASE",
    ),
)
