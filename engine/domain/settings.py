"""Settings a person may edit: limits, bots, accounts. Validated here, by field, with units."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from engine.domain.commands import InventoryPolicy
from engine.domain.instruments import Mode
from engine.domain.money import MICRO, percent_of


class Settings(BaseModel):
    """Base: frozen, unknown keys refused, no NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Limit(Settings):
    """An amount, absolute or relative to the day's starting equity. Exactly one is set."""

    absolute: Annotated[float | None, Field(ge=0, description="units of the currency")] = None
    percent: Annotated[
        float | None, Field(ge=0, le=100, description="% of the day's starting equity")
    ] = None

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
        return percent_of(max(0, day_start_equity_micro), round(self.percent * 10_000))


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
    """Over all accounts of one mode."""
    open_orders_max: Annotated[int, Field(ge=0, le=10_000)] = 200
    daily_loss_max: Limit = _percent(5)
    """The day's loss since 00:00 UTC; reached = RISK_STOPPED until the next day."""
    drawdown_max: Limit = _percent(15)
    """Fall from the peak equity that stops the account."""
    kill_drawdown_max: Limit = _percent(20)
    """Fall from the peak equity that sets the KILL latch."""
    data_age_ms_max: Annotated[int, Field(ge=1, le=3_600_000)] = 10_000
    """Oldest accepted proof of a book."""
    mark_age_ms_max: Annotated[int, Field(ge=1, le=86_400_000)] = 600_000
    """How long a last two-sided value may mark a position; older marks are 0."""


class BotSettings(Settings):
    """One bot: a strategy with its parameters, where it trades, and with how much."""

    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9_.-]*$")]
    strategy: str
    account: str
    capital: Annotated[float, Field(gt=0, description="units of the account's currency")]
    instruments: tuple[str, ...] = ()
    series: tuple[str, ...] = ()
    instruments_max: Annotated[int, Field(ge=1, le=500)] = 50
    parameters: dict[str, Any] = Field(default_factory=dict)
    inventory_on_stop: InventoryPolicy = InventoryPolicy.HOLD
    slippage_exit_max: Annotated[
        float, Field(ge=0, le=1, description="worst price distance for EXIT, in the currency")
    ] = 0.05


class AccountSettings(Settings):
    """One account: a credential at a venue, or a paper / demo account."""

    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9_.:-]*$")]
    venue: str
    mode: Mode
    currency: str = "USD"
    starting_cash: Annotated[float, Field(ge=0, description="paper and demo only")] = 1000.0
    limits: RiskLimits = Field(default_factory=RiskLimits)
