"""A market's terms at the CLOB (/clob-markets): what its orders are signed under. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.domain.instruments import Instrument
from engine.errors import BadInput
from engine.venues.polymarket.account.memory import Exchanges, TradableMarket, condition_of
from engine.venues.polymarket.account.signing import domain


def market_of(instrument: Instrument, body: object, exchanges: Exchanges) -> TradableMarket:
    """Return the market where the venue's terms are those of the instrument. Raises BadInput.

    Protocol v1: the standard or the neg-risk exchange under domain "2"; v2: ExchangeV3 under "3".
    A version that is missing or new is refused, never guessed (trading API, §2.3 and §2.8).
    """
    name = instrument.id
    if not isinstance(body, Mapping):
        raise BadInput(f"{name}: the venue answered no market")
    if body.get("c") not in {None, condition_of(name)}:
        raise BadInput(f"{name}: the venue answered another market, {str(body.get('c'))[:80]}")
    if set(_tokens(body)) != set(instrument.tokens or ()):
        raise BadInput(f"{name}: the venue's tokens are not those of the instrument")
    version = body.get("v")
    if version not in {"v1", "v2"} or (instrument.protocol and version != instrument.protocol):
        raise BadInput(
            f"{name}: the venue says protocol {str(version)[:20]!r}, "
            f"the instrument {instrument.protocol!r}"
        )
    neg_risk = body.get("nr", False)
    if not isinstance(neg_risk, bool):
        raise BadInput(f"{name}: the venue does not say whether it is a neg-risk market")
    if version == "v2":
        return TradableMarket(instrument=instrument, separator=domain("3", exchanges.v3))
    exchange = exchanges.neg_risk if neg_risk else exchanges.standard
    return TradableMarket(instrument=instrument, separator=domain("2", exchange))


def _tokens(body: Mapping[Any, Any]) -> list[str]:
    rows = body.get("t")
    if not isinstance(rows, list):
        return []
    return [str(row.get("t")) for row in rows if isinstance(row, Mapping)]
