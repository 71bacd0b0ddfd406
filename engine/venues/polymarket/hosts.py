"""Where Polymarket and the reference prices are, as the configuration says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.config import Config
from engine.feeds.counts import FeedCounts
from engine.feeds.references.lines import ReferenceHosts
from engine.venues.polymarket.market.rest import PublicRest

if TYPE_CHECKING:
    from engine.venues.polymarket.account.sdk import Hosts


def public_rest(config: Config, counts: FeedCounts) -> PublicRest:
    """Return the door of public questions."""
    return PublicRest(
        clob_url=config.polymarket_clob_url, gamma_url=config.polymarket_gamma_url, counts=counts
    )


def reference_hosts(config: Config) -> ReferenceHosts:
    """Return where prices come from; a data key is all three of its parts, or none."""
    key = (
        config.polymarket_data_key.get_secret_value(),
        config.polymarket_data_secret.get_secret_value(),
        config.polymarket_data_passphrase.get_secret_value(),
    )
    return ReferenceHosts(
        binance=config.binance_ws_url,
        coinbase=config.coinbase_ws_url,
        rtds=config.polymarket_rtds_url,
        polybolt=config.polymarket_polybolt_url,
        data_key=key if all(key) else None,
    )


def account_hosts(config: Config) -> Hosts:
    """Return where a live account trades."""
    from engine.venues.polymarket.account.sdk import Hosts  # noqa: PLC0415 only a live account signs

    return Hosts(
        clob=config.polymarket_clob_url,
        gamma=config.polymarket_gamma_url,
        data=config.polymarket_data_url,
        relayer=config.polymarket_relayer_url,
        user_ws=f"{config.polymarket_ws_url.rstrip('/')}/ws/user",
    )
