"""How this venue behaves: numbers a test may change while it runs, and switchable quirks."""

from __future__ import annotations

from typing import Any

import msgspec

from engine.errors import BadInput

S = 1_000_000_000
MS = 1_000_000


class Quirks(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Things the venue was seen to do, or two sources disagree about. Defaults suit the SDK."""

    created_at_ms: bool = False
    """User channel: `created_at` in milliseconds instead of seconds."""
    empty_size_matched: bool = False
    """User channel: `size_matched`, `outcome`, `created_at` are "" on killed orders."""
    null_associate_trades: bool = True
    """User channel: `associate_trades` is null where there are none."""
    null_expiration: bool = False
    mixed_buckets: bool = False
    """A trade tells makers of several prices; its own price is the taker's limit, as always."""
    matchtime: bool = False
    """User channel: `match_time` is spelled `matchtime`."""
    iso_match_time: bool = False
    update_canceled: bool = False
    """A partly filled order that ends is told as UPDATE with status CANCELED."""
    killed_event: bool = False
    """A killed FOK or FAK order is also told on the user channel."""
    duplicate_events: bool = False
    reorder_events: bool = False
    """User channel: two neighbouring frames change places."""
    user_arrays: bool = False
    """User channel: frames are arrays of one."""
    trade_before_order: bool = False
    """User channel: the trade comes before the order's UPDATE."""
    trade_after_changes: bool = False
    """Market channel: `last_trade_price` follows the changes instead of preceding them."""
    full_books: bool = False
    """Market channel: a `book` after a trade carries tick and last price like the first one."""
    echo_complement: bool = False
    """Market channel: `book` and trades of the token one did not subscribe to come too."""
    duplicate_changes: bool = False
    """Market channel: the last frame of a batch comes twice."""
    no_dump_over: int = 500
    """Market channel: with more assets than this no first snapshot is sent; 0 = always."""
    rejects_in_200: bool = False
    """POST /order: a rejection is a 200 with `errorMsg` instead of a 400 with `error`."""
    unmatched_status: bool = False
    """POST /order: a resting order is answered as `unmatched`."""
    null_fields: bool = False
    """POST /order: errorMsg, tradeIDs and transactionsHashes are null."""
    terminal_orders: bool = False
    """GET /data/order/{id} also answers for ended orders instead of null."""
    prefixed_orders: bool = False
    """REST order status carries ORDER_STATUS_."""
    not_broadcast: bool = False
    """REST: a fresh trade is MATCHED_NOT_BROADCASTED."""
    old_allowance: bool = False
    """GET /balance-allowance answers the older single `allowance`."""
    eoa_refused: bool = False
    """Orders of signature type 0 are refused: use the deposit wallet flow."""
    market_min_size: bool = False
    """FOK and FAK orders too must be as large as the market's minimum, not only worth $1."""
    market_buy_taker_decimals: int = 4
    """Decimals of a market BUY's shares the venue accepts; the SDK sends up to 6 on fine ticks."""
    limit_money_decimals: int = 0
    """Decimals of a limit order's pUSD; 0 = as many as the tick allows, 4 = as the text says."""


class Settings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Numbers of the venue. Times in the unit their names end with."""

    shelf: int = 0
    """Markets that Gamma lists besides those that trade."""
    shelf_bad: bool = False
    """Some of them lack tokens, tick or id, have three outcomes, or are null."""
    shelf_tick: str = "0.01"
    shelf_repeats: int = 0
    """Every so many pages of the listing the page before comes once more; 0 = never."""

    seed: int = 7
    faucet_micro: int = 10_000_000_000
    """What a wallet owns when it is first seen, in micro-pUSD."""
    skew_s_max: float = 60.0
    """How far a signed timestamp may be from the venue's clock; 0 = any."""
    fresh_key_s: float = 0.0
    """How long a new API key is refused with 401."""
    gtd_min_s: float = 180.0
    """An expiry sooner than this is refused, says docs.polymarket.com/trading/place-orders."""
    gtd_early_s: float = 60.0
    beat_timeout_s: float = 10.0
    beat_check_s: float = 5.0
    mined_ms: tuple[int, int] = (1_500, 4_000)
    confirmed_ms: tuple[int, int] = (500, 2_500)
    retry_ppm: int = 0
    fail_ppm: int = 0
    balance_lag_s: float = 1.0
    """From CONFIRMED until the balance cache knows of it."""
    bucket_makers_max: int = 8
    """Most maker orders in one trade row."""
    ack_delay_ms: float = 0.0
    """How long the reply to POST /order is held back after the order took effect."""
    user_delay_ms: float = 0.0
    """How long user frames are held back."""
    rate_limits: str = "warning"
    """`off`, `warning` (headers only) or `enforce`."""
    tier: str = "Standard"
    gamma_stale_s: float = 0.0
    data_lag_s: float = 2.0
    idle_close_s: float = 10.0
    """When a socket that did not subscribe is closed."""
    relayer_s: float = 0.5
    """From submission to confirmation of a gasless transaction."""
    relayer_ends: list[str] = []
    """Ends of the next transactions, in turn: `confirmed`, `failed` (mined, then not), `stuck`."""
    auto_redeem: bool = False
    """The venue redeems its customers' winners by itself; else they stay until somebody does."""
    post_only_s: float = 120.0
    """Length of the post-only window after a restart."""
    auto_tick: bool = True
    """The tick becomes 0.001 beyond 0.96 and below 0.04, and 0.01 again inside."""
    journal_max: int = 200_000
    quirks: Quirks = msgspec.field(default_factory=Quirks)

    def change(self, patch: dict[str, Any]) -> None:
        """Take new values by name. Raises BadInput, and then changes nothing."""
        given = dict(patch)
        quirks = given.pop("quirks", {})
        try:
            checked = _merged(self, given)
            their = _merged(self.quirks, quirks)
        except (msgspec.ValidationError, AttributeError, TypeError) as error:
            raise BadInput(f"settings: {error}") from error
        for name in given:
            setattr(self, name, getattr(checked, name))
        for name in quirks:
            setattr(self.quirks, name, getattr(their, name))


def _merged(old: Any, patch: dict[str, Any]) -> Any:
    return msgspec.convert(msgspec.to_builtins(old) | patch, type(old), strict=False)
