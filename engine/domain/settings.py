"""Settings a person may edit: limits, bots, accounts. Validated here, by field, with units."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from engine.domain.alerts import AlertGroup, Severity
from engine.domain.commands import MANUAL, InventoryPolicy
from engine.domain.instruments import UNASSIGNED, Mode
from engine.domain.listings import ListingState
from engine.domain.money import MICRO, PPM
from engine.domain.plain import PlainDict
from engine.domain.settings_base import Settings as Settings  # noqa: PLC0414 it is of this page
from engine.domain.strategy_settings import USUAL_STRATEGY, StrategySettings

CURRENCY = "pUSD"
"""What an account counts in where nothing else is said; its venue must pay in it."""

AMOUNT_MAX = 1e11
"""Units of a currency: in micro-units it fits into 64 bits, and so does the sum of ninety."""


class Limit(Settings):
    """An amount, absolute or relative to the day's starting equity. Exactly one is set."""

    absolute: float | None = Field(None, ge=0, le=AMOUNT_MAX, description="units of the currency")
    percent: float | None = Field(None, ge=0, le=100, description="% of the day's starting equity")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.absolute is None) == (self.percent is None):
            raise ValueError("give either an absolute amount or a percentage, not both")
        return self

    def micro(self, day_start_equity_micro: int) -> int:
        """Return the limit in micro-units of the currency, rounded down."""
        if self.absolute is not None:
            return int(self.absolute * MICRO)
        if self.percent is None:
            raise ValueError("the limit has neither an amount nor a percentage")
        return max(0, day_start_equity_micro) * round(self.percent * 10_000) // PPM


def _percent(value: float) -> Any:
    return Field(default_factory=lambda: Limit(percent=value))


class RiskLimits(Settings):
    """Hard limits of one account. Exposure is worst-case loss, see architecture §5."""

    order_value_min: Limit = Field(default_factory=lambda: Limit(absolute=0.0))
    order_value_max: Limit = _percent(10)
    exposure_instrument_max: Limit = _percent(10)
    exposure_market_max: Limit = _percent(10)
    exposure_bot_max: Limit = _percent(50)
    exposure_account_max: Limit = _percent(100)
    exposure_total_max: Limit = _percent(100)
    """Over all accounts of one mode. What counts in another currency is converted at the newest
    rate that a book gives; without one, or with one that is stale, what adds risk is denied."""
    open_orders_max: int = Field(200, ge=0, le=10_000)
    daily_loss_max: Limit = _percent(5)
    """The day's loss since 00:00 UTC; reached = RISK_STOPPED until the next day."""
    drawdown_max: Limit = _percent(15)
    """Drawdown, from the highest equity so far, that stops the account."""
    kill_drawdown_max: Limit = _percent(20)
    """Drawdown, from the highest equity so far, that sets the KILL latch."""
    liquidation_buffer_min: int = Field(500, ge=0, le=9_900)
    """How far the mark of a perpetual must stay from liquidation after an order that adds to a
    position, in basis points of the mark; 0 = any distance."""
    data_age_ms_max: int = Field(10_000, ge=1, le=3_600_000)
    """Oldest accepted proof of a book."""
    mark_age_ms_max: int = Field(600_000, ge=1, le=86_400_000)
    """How long a last two-sided value may mark a position; older marks are 0."""


class GatewaySettings(Settings):
    """How fast one account may speak to its venue. Defaults fit Polymarket's standard tier.

    Rates stay below the venue's own (40 orders/s burst 60, 80 cancels/s burst 120 per signer), and
    cancels have a bucket that places can never empty.
    """

    places_in_flight_max: int = Field(
        8, ge=1, le=100, description="orders sent and not yet answered"
    )
    places_per_s: int = Field(30, ge=1, le=10_000, description="orders per second")
    places_burst: int = Field(50, ge=1, le=10_000, description="orders at once")
    cancels_per_s: int = Field(60, ge=1, le=10_000, description="orders per second")
    cancels_burst: int = Field(100, ge=1, le=10_000, description="orders at once")
    cancel_batch_max: int = Field(50, ge=1, le=1_000, description="orders per request")
    queries_per_s: int = Field(10, ge=1, le=1_000, description="queries per second")
    queries_burst: int = Field(20, ge=1, le=1_000, description="queries at once")
    safety_in_flight_max: int = Field(
        16, ge=2, le=100, description="cancels and queries sent and not yet answered"
    )
    queue_max: int = Field(
        1_000, ge=1, le=100_000, description="waiting orders, cancels or queries, each"
    )
    place_timeout_ms: int = Field(5_000, ge=1, le=600_000, description="ms")
    """After this a place counts as unanswered: UNKNOWN, asked about, never sent again."""
    safety_timeout_ms: int = Field(5_000, ge=1, le=600_000, description="ms")


class SortedBy(StrEnum):
    """In which order markets are shown and followed."""

    VOLUME = "volume_24h"
    LIQUIDITY = "liquidity"
    REWARDS = "rewards_daily"
    ENDS = "ends_ns"


class MarketFilter(Settings):
    """Which markets are looked for. Every part narrows the search; empty parts do not."""

    text: str = Field("", max_length=200)
    """Words that must all be found; the last may be a beginning. No operators: all is literal."""
    states: tuple[ListingState, ...] = (ListingState.ACTIVE,)
    category: str = Field("", max_length=200)
    pays_rewards: bool = False
    volume_24h_min: float = Field(0.0, ge=0, le=AMOUNT_MAX)
    sorted_by: SortedBy = SortedBy.VOLUME


class SizingMethod(StrEnum):
    """What a whole position of a bot is sized by."""

    CAPITAL = "capital"
    """All of the capital, as the strategy divides it."""
    FIXED = "fixed"
    PERCENT = "percent"
    VOLATILITY = "volatility"
    KELLY = "kelly"


class Sizing(Settings):
    """How much of its capital a bot puts into one market. What is not asked for has no effect."""

    method: SizingMethod = Field(
        SizingMethod.CAPITAL,
        title="Sized by",
        description="capital: as the strategy says. fixed: an amount. percent: a part of the "
        "capital. volatility: less where prices swing more. kelly: by edge and confidence.",
    )
    amount: float = Field(
        100.0,
        ge=0,
        le=AMOUNT_MAX,
        title="Fixed amount",
        description="units of the account's currency, in one market; for fixed",
    )
    percent: float = Field(
        10.0,
        ge=0,
        le=100,
        title="Percent of capital",
        description="% of the bot's capital in one market; for percent",
    )
    volatility: float = Field(
        20.0,
        gt=0,
        le=1_000,
        title="Target volatility",
        description="% a year; the part of the capital that swings so much; for volatility",
    )
    window_s: int = Field(
        3_600,
        ge=60,
        le=86_400,
        title="Volatility over",
        description="s of mids the realised volatility is taken over; for volatility. Before so "
        "much has been seen nothing is opened.",
    )
    kelly: float = Field(
        0.25,
        gt=0,
        le=1,
        title="Kelly fraction",
        description="part of the full Kelly stake, 0 to 1; for kelly. A quarter: the edge is an "
        "estimate, and twice the true stake earns nothing.",
    )
    position_max: float = Field(
        100.0,
        ge=0,
        le=AMOUNT_MAX,
        title="Position limit",
        description="units of the account's currency, in one market; for kelly",
    )
    risk_percent: float = Field(
        5.0,
        ge=0,
        le=100,
        title="Risk of one position",
        description="% of the bot's capital that one position may lose, its whole price; for kelly",
    )
    confidence_min: float = Field(
        0.6,
        ge=0,
        le=1,
        title="Least confidence",
        description="0 to 1; below it nothing is opened; for kelly",
    )


class BotSettings(Settings):
    """One bot: a strategy with its parameters, where it trades, and with how much."""

    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9_.-]*$")]
    strategy: str
    account: str
    capital: Annotated[
        float, Field(gt=0, le=AMOUNT_MAX, description="units of the account's currency")
    ]
    instruments: tuple[str, ...] = Field((), title="Markets")
    series: tuple[str, ...] = ()
    follows: str = Field(
        "",
        max_length=64,
        title="Follows the filter",
        description="saved filter whose markets it also trades",
    )
    instruments_max: int = Field(50, ge=1, le=500, title="Most markets at once")
    priority: int = Field(
        0,
        ge=-1_000,
        le=1_000,
        title="Priority among bots",
        description="who goes first where two bots' prices would meet in one market: the higher",
    )
    parameters: PlainDict = Field(default_factory=dict)
    sizing: Sizing = Field(default_factory=Sizing)
    inventory_on_stop: InventoryPolicy = Field(
        InventoryPolicy.HOLD, title="Inventory when it stops"
    )
    slippage_exit_max: float = Field(
        0.05,
        ge=0,
        le=1,
        title="Worst slippage of an exit",
        description="worst price distance for EXIT from where it began, in the currency",
    )


class AccountSettings(Settings):
    """One account: a credential at a venue, or a paper / demo account."""

    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9_.:-]*$")]
    venue: str
    mode: Mode
    currency: str = CURRENCY
    starting_cash: float = Field(1000.0, ge=0, le=AMOUNT_MAX, description="paper and demo only")
    quote_life_s: Annotated[int, Field(ge=1, le=86_400, description="s")] | None = None
    """Quotes carry an expiry so far ahead and are renewed before it; None = good till cancelled.

    What its venue takes at least, the venue's plug-in says."""
    auto_redeem: bool | None = Field(
        None,
        title="Redeem winners automatically",
        description="As soon as a market is resolved in our favour. Off, winners wait for you, "
        "on Positions, or for the venue.",
    )
    """None = yes, but for a live account."""
    redeem_above: float = Field(
        0.0,
        ge=0,
        le=AMOUNT_MAX,
        title="Least value to redeem, in the currency",
        description="Per market. Winners worth less wait for you or for the venue.",
    )
    merge_above: float | None = Field(
        None,
        gt=0,
        le=AMOUNT_MAX,
        title="Least value to merge, in the currency",
        description="Per market: free pairs of YES and NO become cash. Empty = no pair is "
        "merged automatically.",
    )
    limits: RiskLimits = Field(default_factory=RiskLimits)

    @property
    def redeems(self) -> bool:
        return self.mode is not Mode.LIVE if self.auto_redeem is None else self.auto_redeem


class ScheduleEntry(Settings):
    """What is asked for at fixed times: a long job, or a look at a venue's markets."""

    cron: Annotated[
        str,
        Field(
            pattern=r"^\S+ \S+ \S+ \S+ \S+$",
            max_length=100,
            description="UTC: minute hour day month weekday, e.g. 10 2 * * mon-fri",
        ),
    ]
    job: str = Field("", max_length=64, description="kind of job")
    arguments: PlainDict = Field(default_factory=dict, description="of the job")
    sync: str = Field("", max_length=64, description="venue whose markets are synced")
    local: bool = Field(
        False, title="In your time zone", description="the times are of the zone of alerts, not UTC"
    )
    on: bool = True
    by_itself: bool = Field(
        False,
        title="On by itself",
        description="where it is off: on as soon as an account's venue lists markets",
    )
    at_once: bool = Field(False, title="First at once", description="first when it is new and on")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if bool(self.job) == bool(self.sync):
            raise ValueError("give either a job or a venue to sync, not both")
        return self


def _nightly() -> dict[str, ScheduleEntry]:
    return {
        "backup": ScheduleEntry(cron="10 2 * * *", job="backup"),
        "compact": ScheduleEntry(cron="0 3 * * *", job="compact"),
        "pnl": ScheduleEntry(cron="0 0 * * *", job="pnl"),
        "markets": ScheduleEntry(
            cron="*/5 * * * *", job="markets", on=False, by_itself=True, at_once=True
        ),
        "canary": ScheduleEntry(cron="20 3 * * *", job="canary", on=False),
        "report": ScheduleEntry(cron="0 8 * * *", job="report", local=True),
        "report-weekly": ScheduleEntry(
            cron="5 8 * * mon", job="report", arguments={"period": "weekly"}, local=True
        ),
        "report-monthly": ScheduleEntry(
            cron="10 8 1 * *", job="report", arguments={"period": "monthly"}, local=True
        ),
    }


class AlertRule(Settings):
    """Which channels hear of which alerts, when and how often.

    Of the rules that name a channel the most specific decides: one that names the kind before one
    that names its group; among equals the one with the higher minimum severity.
    """

    kinds: tuple[str, ...] = Field((), description="kinds of alert; empty = not by kind")
    groups: tuple[AlertGroup, ...] = Field((), description="groups of kinds; empty = not by group")
    severity_min: Severity = Field(Severity.WARNING, title="Minimum severity")
    channels: tuple[str, ...] = Field(("*",), description="names of channels; * = every channel")
    mute: bool = Field(False, description="what it names is sent to none of its channels")
    digest_min: int = Field(
        0, ge=0, le=1_440, title="Digest", description="minutes; 0 = each alert at once"
    )
    quiet: str = Field(
        "",
        pattern=r"^(([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d)?$",
        title="Quiet hours",
        description="e.g. 22:00-07:00; what is held back is sent when they end",
    )
    quiet_unless: Severity = Field(
        Severity.CRITICAL, title="Sent in quiet hours from", description="severity"
    )
    again_min: int = Field(
        60, ge=1, le=10_080, title="Again after", description="minutes, while it goes on happening"
    )
    per_hour_max: int = Field(
        30,
        ge=1,
        le=1_000,
        title="Messages per hour",
        description="per channel; what is beyond comes together in one message",
    )
    escalate_min: int = Field(
        0,
        ge=0,
        le=1_440,
        title="Escalate after",
        description="minutes without a person who acknowledges it; 0 = never",
    )
    escalate_to: tuple[str, ...] = Field(
        (), max_length=10, description="channels: first the same ones again, then these one by one"
    )
    on: bool = True


class PriceAlert(Settings):
    """What a person wants to hear of a market's price: the middle of its book."""

    instrument: Annotated[str, Field(min_length=3, max_length=200)]
    account: str = Field("", max_length=64, description="whose book; empty = any account's")
    above: float | None = Field(None, gt=0, le=AMOUNT_MAX, description="at or above this price")
    below: float | None = Field(None, gt=0, le=AMOUNT_MAX, description="at or below this price")
    moves: float | None = Field(None, gt=0, le=AMOUNT_MAX, description="moved by so much")
    within_min: int = Field(60, ge=1, le=1_440, description="minutes, for a move")
    repeats: bool = Field(False, description="again each time it comes true anew")
    note: str = Field("", max_length=200)

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(one is not None for one in (self.above, self.below, self.moves)) != 1:
            raise ValueError("give exactly one of above, below and moves")
        return self


class AlertThresholds(Settings):
    """From where on a condition is an alert."""

    large_fill: float = Field(
        500.0, ge=0, le=AMOUNT_MAX, title="Large fill, value", description="units of the currency"
    )
    balance_low: float = Field(
        100.0, ge=0, le=AMOUNT_MAX, title="Low balance", description="cash, in the currency"
    )
    limit_near_percent: float = Field(
        80.0, ge=1, le=100, title="Near a limit, %", description="% of a limit"
    )
    closes_within_min: int = Field(
        60, ge=1, le=10_080, title="Market closes, minutes", description="minutes, with inventory"
    )
    connection_s: int = Field(
        60, ge=5, le=3_600, title="Connection lost, s", description="seconds without a word"
    )
    bot_idle_min: int = Field(
        30, ge=1, le=10_080, title="Bot idle, minutes", description="minutes without an order"
    )
    turn_ms: float = Field(
        50.0,
        gt=0,
        le=60_000,
        title="Slow turn, ms",
        description="ms, 99 of 100 turns, for a minute",
    )
    answer_ms: float = Field(
        1_000.0,
        gt=0,
        le=60_000,
        title="Late answer, ms",
        description="ms, half of the new orders of a minute",
    )
    memory_free_mb: int = Field(
        250, ge=0, le=1_000_000, title="Free memory, MB", description="MB available"
    )


def _alert_rules() -> dict[str, AlertRule]:
    return {
        "critical": AlertRule(severity_min=Severity.CRITICAL),
        "warning": AlertRule(severity_min=Severity.WARNING, digest_min=15),
    }


Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9_.-]*$")]


class AlertSettings(Settings):
    """How alerts leave the desk. The watch goes by the newest saved version, engine or not.

    `engine.watch.rules` reads the same fields.
    """

    rules: dict[Name, AlertRule] = Field(default_factory=_alert_rules, max_length=100)
    prices: dict[Name, PriceAlert] = Field(default_factory=dict, max_length=200)
    thresholds: AlertThresholds = Field(default_factory=AlertThresholds)
    zone: str = Field(
        "UTC",
        max_length=64,
        title="Time zone",
        description="of quiet hours, messages and reports",
    )
    address: str = Field(
        "http://127.0.0.1:8501",
        pattern=r"^https?://\S+$",
        max_length=200,
        title="Address of the dashboard",
        description="of the dashboard, as links in messages begin; as shipped = its port here",
    )
    ack_links: bool = Field(
        False,
        title="Signed links",
        description="messages carry a signed link that acknowledges without signing in",
    )
    ack_hours: int = Field(
        24, ge=1, le=168, title="A link ends after, hours", description="hours until it ends"
    )


class SettingsDocument(Settings):
    """Everything a person may edit, by name."""

    accounts: dict[str, AccountSettings] = Field(default_factory=dict)
    bots: dict[str, BotSettings] = Field(default_factory=dict)
    filters: dict[Annotated[str, Field(min_length=1, max_length=64)], MarketFilter] = Field(
        default_factory=dict
    )
    """Searches a bot may follow, by name."""
    schedule: dict[str, ScheduleEntry] = Field(default_factory=_nightly)
    """A document of before there was one has all of them."""
    alerts: AlertSettings = Field(default_factory=AlertSettings)
    strategies: dict[Name, StrategySettings] = Field(default_factory=dict, max_length=1_000)
    """What a person keeps of strategies, by name; one that is not named is as its file says."""

    def strategy(self, name: str) -> StrategySettings:
        return self.strategies.get(name, USUAL_STRATEGY)

    def strategy_refusal(self, name: str) -> str:
        """Return why a new bot may not run a strategy; empty = it may."""
        kept = self.strategy(name)
        if kept.removed:
            return f"strategy {name} is removed: `strategies restore {name}` brings it back"
        if not kept.enabled:
            return f"strategy {name} is disabled: `strategies enable {name}` lets new bots run it"
        return ""

    def strategies_refusal(self, before: SettingsDocument) -> str:
        """Return which bot is new with a strategy that no new one may run; empty = none is."""
        for name, bot in self.bots.items():
            known = before.bots.get(name)
            why = self.strategy_refusal(bot.strategy)
            if why and (known is None or known.strategy != bot.strategy):
                return f"bot {name}: {why}"
        return ""

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        for name, account in self.accounts.items():
            if account.name != name:
                raise ValueError(f"account {name!r} calls itself {account.name!r}")
        for name, bot in self.bots.items():
            if bot.name != name:
                raise ValueError(f"bot {name!r} calls itself {bot.name!r}")
            if name in (MANUAL, UNASSIGNED):
                raise ValueError(f"the name {name!r} is reserved: it is no bot's")
            if bot.account not in self.accounts:
                raise ValueError(f"bot {name!r} trades at the unknown account {bot.account!r}")
            if bot.follows and bot.follows not in self.filters:
                raise ValueError(
                    f"bot {name!r} follows {bot.follows!r}, and no such filter is saved"
                )
        return self


# -- The law of capitals ---------------------------------------------------------------------------
# Each bot is bound to its own capital; where they are together more than the equity, the account
# can lose what no bot was meant to risk, and the bots take each other's cash. So the sum is judged
# when a bot is created, changed or started. What a bot at work lost since then stops no bot.


def capital_micro(bots: Iterable[BotSettings]) -> int:
    """Return the sum of the bots' capitals, in micro-units of their account's currency."""
    return sum(round(bot.capital * MICRO) for bot in bots)


def first_equity_micro(account: AccountSettings) -> int | None:
    """Return what an account not opened yet begins with; None = its venue alone knows."""
    return None if account.mode is Mode.LIVE else round(account.starting_cash * MICRO)


def capital_excess(account: AccountSettings, bots: Iterable[BotSettings], equity_micro: int) -> str:
    """Return why these bots are too much for an account, with both numbers; empty = they fit."""
    given = tuple(bots)
    wanted = capital_micro(given)
    if wanted <= equity_micro:
        return ""
    names = ", ".join(sorted(bot.name for bot in given))
    return (
        f"the capital of the bots at account {account.name} ({names}) would be "
        f"{_amount(wanted)} {account.currency}, its equity is {_amount(equity_micro)} "
        f"{account.currency}: give them less, or stop one"
    )


def _amount(micro: int) -> str:
    return f"{Decimal(micro).scaleb(-6).normalize():,f}"


def capitals_refusal(
    before: SettingsDocument,
    after: SettingsDocument,
    equity_micro_of: Callable[[AccountSettings], int | None],
) -> str:
    """Return why bots that are new or changed are too much for their account; empty = they fit.

    `equity_micro_of` gives None where an equity is not known yet: it is judged when the bot
    starts. A version that gives an account's bots less than the one before passes: it is the way
    out for those that are too much already.
    """
    for name, account in after.accounts.items():
        bots = [bot for bot in after.bots.values() if bot.account == name]
        earlier = [bot for bot in before.bots.values() if bot.account == name]
        if all(before.bots.get(bot.name) == bot for bot in bots):
            continue
        if capital_micro(bots) < capital_micro(earlier):
            continue
        equity_micro = equity_micro_of(account)
        if equity_micro is not None and (why := capital_excess(account, bots, equity_micro)):
            return why
    return ""
