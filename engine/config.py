"""Configuration: what the machine decides, as opposed to the settings a person edits.

Takes the environment and a `.env` file beside the program, gives one frozen `Config`. The
environment wins over the file, an empty value counts as not given, and a key that nobody knows is
refused: a misspelt key must not silently mean its default. Nothing is read at import.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from dotenv import dotenv_values
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from engine.errors import ConfigError

PREFIX = "PITBOSS_"
SQLITE = "sqlite:///"
HTTP_KEYS = frozenset(
    {
        "polymarket_clob_url",
        "polymarket_gamma_url",
        "polymarket_data_url",
        "polymarket_relayer_url",
        "polymarket_geoblock_url",
    }
)
"""Addresses of questions; all others are of streams."""

ALMOST = 0.85
"""How alike a key of `.env` must be to a known one to count as misspelt rather than foreign."""


class LogLevel(StrEnum):
    """How much is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Config(BaseModel):
    """Where things are and how much is said. Paths are absolute; nothing is created here."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, validate_default=True
    )

    home: Annotated[
        Path,
        Field(alias="PITBOSS_HOME", description="folder of all state: databases, tape, recordings"),
    ] = Path("var")
    data: Annotated[
        Path | None,
        Field(alias="PITBOSS_DATA", description="folder of recorded market data, read only"),
    ] = None
    database_url: Annotated[
        str,
        Field(alias="DATABASE_URL", description="the state database, `sqlite:///` and a path"),
    ] = ""
    log_level: Annotated[
        LogLevel,
        Field(alias="PITBOSS_LOG_LEVEL", description="debug, info, warning or error"),
    ] = LogLevel.INFO
    polymarket_clob_url: Annotated[
        str, Field(alias="PITBOSS_POLYMARKET_CLOB_URL", description="Polymarket's CLOB over HTTP")
    ] = "https://clob.polymarket.com"
    polymarket_gamma_url: Annotated[
        str, Field(alias="PITBOSS_POLYMARKET_GAMMA_URL", description="Polymarket's market listing")
    ] = "https://gamma-api.polymarket.com"
    polymarket_data_url: Annotated[
        str,
        Field(alias="PITBOSS_POLYMARKET_DATA_URL", description="Polymarket's index of positions"),
    ] = "https://data-api.polymarket.com"
    polymarket_relayer_url: Annotated[
        str,
        Field(
            alias="PITBOSS_POLYMARKET_RELAYER_URL", description="Polymarket's relayer of wallets"
        ),
    ] = "https://relayer-v2.polymarket.com"
    polymarket_geoblock_url: Annotated[
        str,
        Field(
            alias="PITBOSS_POLYMARKET_GEOBLOCK_URL",
            description="where Polymarket says whether it takes orders from here",
        ),
    ] = "https://polymarket.com/api/geoblock"
    polymarket_ws_url: Annotated[
        str,
        Field(
            alias="PITBOSS_POLYMARKET_WS_URL",
            description="Polymarket's market and user channels, without `/ws/…`",
        ),
    ] = "wss://ws-subscriptions-clob.polymarket.com"
    polymarket_rtds_url: Annotated[
        str,
        Field(
            alias="PITBOSS_POLYMARKET_RTDS_URL", description="Polymarket's older relay of prices"
        ),
    ] = "wss://ws-live-data.polymarket.com"
    polymarket_polybolt_url: Annotated[
        str,
        Field(
            alias="PITBOSS_POLYMARKET_POLYBOLT_URL",
            description="Polymarket's newer relay of prices; needs a data key",
        ),
    ] = "wss://ws-live-v2.polymarket.com/ws"
    binance_ws_url: Annotated[
        str,
        Field(
            alias="PITBOSS_BINANCE_WS_URL",
            description="Binance's public streams, without `/stream`",
        ),
    ] = "wss://stream.binance.com:9443"
    coinbase_ws_url: Annotated[
        str, Field(alias="PITBOSS_COINBASE_WS_URL", description="Coinbase's public ticker")
    ] = "wss://ws-feed.exchange.coinbase.com"
    polymarket_data_key: Annotated[
        SecretStr,
        Field(
            alias="PITBOSS_POLYMARKET_DATA_KEY",
            description="API key that only reads prices: never one that trades",
        ),
    ] = SecretStr("")
    polymarket_data_secret: Annotated[
        SecretStr, Field(alias="PITBOSS_POLYMARKET_DATA_SECRET", description="its secret")
    ] = SecretStr("")
    polymarket_data_passphrase: Annotated[
        SecretStr, Field(alias="PITBOSS_POLYMARKET_DATA_PASSPHRASE", description="its passphrase")
    ] = SecretStr("")

    @field_validator("home", "data")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return None if path is None else path.expanduser().absolute()

    @field_validator("log_level", mode="before")
    @classmethod
    def _any_case(cls, level: object) -> object:
        return level.lower() if isinstance(level, str) else level

    @field_validator(
        "polymarket_clob_url",
        "polymarket_gamma_url",
        "polymarket_data_url",
        "polymarket_relayer_url",
        "polymarket_geoblock_url",
        "polymarket_ws_url",
        "polymarket_rtds_url",
        "polymarket_polybolt_url",
        "binance_ws_url",
        "coinbase_ws_url",
    )
    @classmethod
    def _an_address(cls, url: str, info: ValidationInfo) -> str:
        wanted = ("ws://", "wss://")
        if info.field_name in HTTP_KEYS:
            wanted = ("http://", "https://")
        if not url.startswith(wanted):
            raise ValueError(f"must begin with {' or '.join(wanted)}")
        return url.rstrip("/")

    @field_validator("database_url")
    @classmethod
    def _only_sqlite(cls, url: str) -> str:
        if url and (not url.startswith(SQLITE) or not url.removeprefix(SQLITE)):
            # The text must not repeat the value: such an address may carry a password.
            raise ValueError(f"only {SQLITE}PATH is supported; leave it out for the default")
        return url

    @model_validator(mode="after")
    def _home_is_no_file(self) -> Self:
        if self.home.exists() and not self.home.is_dir():
            raise ValueError(f"PITBOSS_HOME: {self.home} is a file, not a folder")
        return self

    @property
    def journal_path(self) -> Path:
        """The journal: every effect before it is done, every report."""
        return self.home / "journal.db"

    @property
    def state_path(self) -> Path:
        """The state database: orders, fills, positions, commands, settings."""
        if self.database_url:
            return Path(self.database_url.removeprefix(SQLITE)).expanduser().absolute()
        return self.home / "pitboss.db"

    @property
    def decisions_path(self) -> Path:
        """The decision records."""
        return self.home / "decisions.db"

    @property
    def tape_folder(self) -> Path:
        """The tape: every frame received, the last day."""
        return self.home / "tape"

    @property
    def recordings_folder(self) -> Path:
        """Recordings made or imported here."""
        return self.home / "recordings"

    @property
    def run_folder(self) -> Path:
        """Locks and the last error: what only matters while programs run."""
        return self.home / "run"

    @property
    def kill_path(self) -> Path:
        """The KILL latch: no order leaves while this file exists."""
        return self.home / "KILL"

    @property
    def vault_path(self) -> Path:
        """The vault: credentials, encrypted."""
        return self.home / "vault.json"


def keys() -> dict[str, str]:
    """Return every key that may be set and what it means."""
    return {
        field.alias or name: field.description or "" for name, field in Config.model_fields.items()
    }


def load(
    environment: Mapping[str, str], file: Path | None = None, spared: list[str] | None = None
) -> Config:
    """Read the configuration once. Raises ConfigError with the sentence that mends it.

    `file` is a `.env` file; None or a missing file = the environment alone. Given `spared`, a file
    that cannot be read and a key nobody knows are left out and told there instead.
    """
    known, given = keys(), dict[str, str]()
    try:
        given = _read_file(file) if file is not None else {}
        _refuse_unknown(given, known, str(file), foreign_keys_expected=False)
        _refuse_unknown(environment, known, "the environment", foreign_keys_expected=True)
    except ConfigError as error:
        if spared is None:
            raise
        spared.append(str(error))
    given = {key: value for key, value in given.items() if key in known}
    merged = {**given, **{key: environment[key] for key in known if environment.get(key)}}
    try:
        return Config.model_validate({key: merged[key] for key in known if merged.get(key)})
    except ValidationError as error:
        raise ConfigError(_sentence(error)) from None


def _read_file(file: Path) -> dict[str, str]:
    if not file.exists():
        return {}
    try:
        # Without interpolation: a `$` in a password is a dollar.
        found = dotenv_values(file, interpolate=False, encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read ({error}): mend or remove it") from None
    return {key: value or "" for key, value in found.items()}


def _refuse_unknown(
    given: Iterable[str], known: Mapping[str, str], where: str, *, foreign_keys_expected: bool
) -> None:
    for key in given:
        ours = key.startswith(PREFIX)
        if key in known or (foreign_keys_expected and not ours):
            continue
        if ours or get_close_matches(key, known, 1, ALMOST):
            near = get_close_matches(key, known, n=1, cutoff=0.0)[0]
            raise ConfigError(f"{where} sets {key}, which nobody knows: did you mean {near}?")


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    said = first["msg"].removeprefix("Value error, ")
    return f"{place}: {said}" if place else said
