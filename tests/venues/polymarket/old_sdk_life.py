"""The older SDK's life cycle, run by its own interpreter: url key type wallet yes×3 no×3."""

from __future__ import annotations

import sys
import time

from py_clob_client_v2 import (
    ApiCreds,
    AssetType,
    BalanceAllowanceParams,
    ClobClient,
    MarketOrderArgs,
    OpenOrderParams,
    OrderArgs,
    OrderPayload,
    OrderType,
    PostOrdersV2Args,
    TradeParams,
)
from py_clob_client_v2.clob_types import OrderMarketCancelParams

URL, KEY, KIND, WALLET, *TOKENS = sys.argv[1:]
YES, NO = TOKENS[:3], TOKENS[3:]


def asset(number: int, token: str) -> dict[str, str]:
    """The third market is one of the newer protocol: its tokens are positions."""
    return {"position_id" if number == 2 else "token_id": token}


def main() -> None:
    """Live: key, place, batch, match, trades, balance, heartbeat, cancel."""
    client = ClobClient(URL, 137, key=KEY, signature_type=int(KIND), funder=WALLET)
    creds = client.create_or_derive_api_key()
    assert isinstance(creds, ApiCreds)
    client.set_api_creds(creds)
    assert client.get_ok() == "OK"
    assert abs(client.get_server_time() - time.time()) < 5

    def order(number: int, token: str, price: float, size: float, side: str = "BUY") -> object:
        return client.create_order(
            OrderArgs(price=price, size=size, side=side, **asset(number, token))
        )

    for number, token in enumerate(YES):
        answer = client.post_order(order(number, token, 0.4, 10), OrderType.GTC)
        assert (answer["success"], answer["status"]) == (True, "live"), answer
    batch = [
        PostOrdersV2Args(order=order(number, token, 0.3, 5), orderType=OrderType.GTC)
        for number, token in enumerate(YES)
    ]
    assert [leg["status"] for leg in client.post_orders(batch)] == ["live"] * 3
    for number, token in enumerate(NO):
        answer = client.post_order(order(number, token, 0.6, 6), OrderType.GTC)
        assert (answer["status"], answer["takingAmount"]) == ("matched", "6"), answer
        market = client.create_market_order(
            MarketOrderArgs(
                amount=2, side="BUY", price=0.6, order_type=OrderType.FAK, **asset(number, token)
            )
        )
        answer = client.post_order(market, OrderType.FAK)
        assert answer["status"] == "matched", answer

    assert len(client.get_open_orders(OpenOrderParams())) == 6
    trades = client.get_trades(TradeParams())
    assert len(trades) == 6
    assert {trade["status"] for trade in trades} == {"TRADE_STATUS_CONFIRMED"}
    params = BalanceAllowanceParams(asset_type=AssetType.COLLATERAL)
    client.update_balance_allowance(params)
    assert int(client.get_balance_allowance(params)["balance"]) < 10_000 * 10**6
    beat = client.post_heartbeat("")
    client.post_heartbeat(beat["heartbeat_id"])
    book = client.get_order_book(YES[0])
    assert book["bids"] if isinstance(book, dict) else book.bids
    first = client.get_open_orders(OpenOrderParams())[0]["id"]
    assert client.cancel_order(OrderPayload(orderID=first))["canceled"] == [first]
    client.cancel_market_orders(OrderMarketCancelParams(asset_id=YES[1]))
    client.cancel_all()
    assert client.get_open_orders(OpenOrderParams()) == []


main()
