"""Where Polymarket and the reference prices are, as the configuration says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.feeds.counts import FeedCounts
from engine.feeds.references.lines import ReferenceHosts
from engine.runtime.venue_plugin import VenueSetup
from engine.venues.polymarket.market.rest import PublicRest

if TYPE_CHECKING:
    from engine.venues.polymarket.account.sdk import Hosts


def public_rest(setup: VenueSetup, counts: FeedCounts) -> PublicRest:
    """Return the door of public questions."""
    return PublicRest(clob_url=setup.urls["clob"], gamma_url=setup.urls["gamma"], counts=counts)


def reference_hosts(setup: VenueSetup) -> ReferenceHosts:
    """Return where prices come from; a data key is all three of its parts, or none."""
    config = setup.config
    key = (
        config.polymarket_data_key.get_secret_value(),
        config.polymarket_data_secret.get_secret_value(),
        config.polymarket_data_passphrase.get_secret_value(),
    )
    return ReferenceHosts(
        binance=config.binance_ws_url,
        coinbase=config.coinbase_ws_url,
        rtds=setup.urls["rtds"],
        polybolt=setup.urls["polybolt"],
        data_key=key if all(key) else None,
    )


def account_hosts(setup: VenueSetup) -> Hosts:
    """Return where a live account trades."""
    from engine.venues.polymarket.account.sdk import Hosts  # noqa: PLC0415 only a live account signs

    return Hosts(
        clob=setup.urls["clob"],
        gamma=setup.urls["gamma"],
        data=setup.urls["data"],
        relayer=setup.urls["relayer"],
        user_ws=f"{setup.urls['ws']}/ws/user",
    )
