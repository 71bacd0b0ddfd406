"""Configuration: what the machine decides, as opposed to the settings a person edits.

Takes the environment and a `.env` file beside the program, gives one frozen `Config`. The
environment wins over the file, an empty value counts as not given, and a key that is unknown is
refused: a misspelt key must not silently mean its default. Nothing is read at import.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Annotated, ClassVar, Self

from dotenv.parser import Binding, parse_stream
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from engine.errors import BadInput, ConfigError

PREFIX = "PITBOSS_"
SQLITE = "sqlite:///"
LAST_HOME = ".last_home"
"""The file of a clone that names the home of its last start."""

ALMOST = 0.85
"""How alike a key of `.env` must be to a known one to count as misspelt rather than foreign."""


MB = 1_000_000
_UNITS = {"": 1, "MB": MB, "GB": 1_000 * MB, "TB": 1_000_000 * MB}
_BYTES = re.compile(r"(\d+(?:\.\d+)?) ?(MB|GB|TB|)", re.IGNORECASE)

SHARES = {
    "tape": 0.15,
    "decisions": 0.15,
    "journal": 0.15,
    "state": 0.10,
    "runs": 0.05,
    "backups": 0.30,
    "ticks": 0.10,
}
"""Which part of the disk budget each kind of history has; one backup always fits into its part."""


_YAML = re.compile(r"\s*(?:export\s+)?([A-Za-z_]\w*)\s*:")
_SECOND = re.compile(r"(?:^|\s)(?:export\s+)?([A-Z][A-Z0-9_]{2,})=")
_OPEN = re.compile(r"=\s*[\"']")


class LogLevel(StrEnum):
    """How much is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class HomePath:
    """A file or folder in the home of a `Config`, as one of its attributes."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, config: Config, _: object) -> Path:
        return config.home / self._name


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
    plugins: Annotated[
        str,
        Field(
            alias="PITBOSS_PLUGINS",
            description="more folders of plug-ins besides `plugins`, with a colon between two",
        ),
    ] = ""
    database_url: Annotated[
        str, Field(alias="DATABASE_URL", description="the state database, `sqlite:///` and a path")
    ] = ""
    log_level: Annotated[
        LogLevel, Field(alias="PITBOSS_LOG_LEVEL", description="debug, info, warning or error")
    ] = LogLevel.INFO
    disk_budget: Annotated[
        int,
        Field(
            alias="PITBOSS_DISK_BUDGET",
            ge=100 * MB,
            description="most disk that history may take: tape, ticks, journal, backups and others",
        ),
    ] = 10_000 * MB
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

    signals_port: Annotated[
        int,
        Field(
            alias="PITBOSS_SIGNALS_PORT",
            ge=0,
            le=65_535,
            description="port of the webhook for signals on 127.0.0.1; 0 = there is none",
        ),
    ] = 0

    venue_urls: Mapping[str, str] = {}
    """Addresses of venues by their key, as far as they are given."""

    backups_folder: ClassVar = HomePath("backups")
    runs_folder: ClassVar = HomePath("runs")
    """What replays keep of themselves, a folder each."""
    journal_path: ClassVar = HomePath("journal.db")
    """The journal: every effect before it is done, every report."""
    decisions_path: ClassVar = HomePath("decisions.db")
    tape_folder: ClassVar = HomePath("tape")
    """The tape: every frame received, the last day."""
    ticks_folder: ClassVar = HomePath("ticks")
    """Ticks and candles of every market that was received."""
    recordings_folder: ClassVar = HomePath("recordings")
    data_folder: ClassVar = HomePath("data")
    """Files of bars that a person brought."""
    observed_folder: ClassVar = HomePath("observed")
    sources_folder: ClassVar = HomePath("sources")
    """Outside information: the watched file, and the webhook's token."""
    markets_path: ClassVar = HomePath("markets.db")
    """Every market its venue lists, searchable; it can be fetched anew."""
    imports_folder: ClassVar = HomePath("imports")
    """What raw recordings held, kept once they were read."""
    run_folder: ClassVar = HomePath("run")
    """Locks and the last error: what only matters while programs run."""
    start_paused_path: ClassVar = HomePath("run/start_paused")
    """The next start of the engine pauses every bot that would trade, then removes this file."""
    kill_path: ClassVar = HomePath("KILL")
    """The KILL latch: no order leaves while this file exists."""
    vault_path: ClassVar = HomePath("vault.json")
    """The vault: credentials, encrypted."""

    @field_validator("home", "data")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return None if path is None else _place(path)

    @field_validator("disk_budget", mode="before")
    @classmethod
    def _of_units(cls, given: object) -> object:
        if not isinstance(given, str):
            return given
        found = _BYTES.fullmatch(given.strip())
        if found is None:
            raise ValueError(f"{given!r} is not a disk size: write it like 10 GB or 500 MB")
        return int(float(found[1]) * _UNITS[found[2].upper()])

    @field_validator("log_level", mode="before")
    @classmethod
    def _any_case(cls, level: object) -> object:
        return level.lower() if isinstance(level, str) else level

    @field_validator("binance_ws_url", "coinbase_ws_url")
    @classmethod
    def _an_address(cls, url: str) -> str:
        if not url.startswith(("ws://", "wss://")):
            raise ValueError("must begin with ws:// or wss://")
        return url.rstrip("/")

    @field_validator("database_url")
    @classmethod
    def _only_sqlite(cls, url: str) -> str:
        if url and (not url.startswith(SQLITE) or not url.removeprefix(SQLITE)):
            # The text must not repeat the value: such an address may carry a password.
            raise ValueError(f"only {SQLITE}PATH is supported; leave it out for the default")
        if url:
            _place(Path(url.removeprefix(SQLITE)))
        return url

    @model_validator(mode="after")
    def _home_is_no_file(self) -> Self:
        if self.home.exists() and not self.home.is_dir():
            raise ValueError(f"PITBOSS_HOME: {self.home} is a file, not a folder")
        return self

    @property
    def history(self) -> dict[str, Path]:
        return {
            "tape": self.tape_folder,
            "decisions": self.decisions_path,
            "journal": self.journal_path,
            "state": self.state_path,
            "runs": self.runs_folder,
            "backups": self.backups_folder,
            "ticks": self.ticks_folder,
        }

    def recording(self, text: str) -> Path:
        """Return where a recording is: a path, else a name under recordings or the data folder.

        Raises BadInput naming the folders.
        """
        folders = [self.recordings_folder, self.data_folder, *([self.data] if self.data else [])]
        found = next((one / text for one in [Path(), *folders] if (one / text).exists()), None)
        if found is None:
            places = ", ".join(str(folder) for folder in folders)
            raise BadInput(f"there is no recording {text!r}: not as a path, and not under {places}")
        return found

    def share(self, kind: str) -> int:
        """Return how many bytes of the disk budget a kind of history has, one of `SHARES`."""
        return int(self.disk_budget * SHARES[kind])

    @property
    def state_path(self) -> Path:
        """The state database: orders, fills, positions, commands, settings."""
        if self.database_url:
            return Path(self.database_url.removeprefix(SQLITE)).expanduser().absolute()
        return self.home / "pitboss.db"


def _place(path: Path) -> Path:
    """Return where a path leads, absolute. Raises ValueError where none can be.

    A name may be longer than the file system takes, or begin at an unknown user's home.
    """
    try:
        there = path.expanduser().absolute()
        there.exists()
    except (OSError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or str(error).rstrip(".")
        raise ValueError(f"no file or folder can have this name ({why}): give another") from error
    return there


def other_home(home: Path, record: Path) -> str:
    """Say that the last start of this clone used another home; empty where it did not.

    `record` holds that home's path; where there is none, no start is known.
    """
    try:
        last = Path(record.read_text(encoding="utf-8").rstrip("\n"))
    except (OSError, UnicodeDecodeError):
        return ""
    if last.resolve() == home.resolve():
        return ""
    return (
        f"the last start from this folder had its state in {last}; this is {home}: another "
        "journal, another KILL file. Set PITBOSS_HOME if that is not meant"
    )


def keys() -> dict[str, str]:
    fields = Config.model_fields.values()
    return {field.alias: field.description or "" for field in fields if field.alias}


def load(
    environment: Mapping[str, str],
    file: Path | None = None,
    errors: list[str] | None = None,
    venues: Callable[[], Iterable[str]] = tuple,
) -> Config:
    """Read the configuration once. Raises ConfigError with the sentence that mends it.

    `file` is a `.env` file; None or a missing file = the environment alone. Given `errors`, a file
    that cannot be read and an unknown key are left out and named there instead. `venues` gives
    the keys of the venues' addresses; it is asked where one may have been set.
    """
    known, given, addresses = keys(), dict[str, str](), dict[str, str]()
    try:
        given = read_env_file(file, errors) if file is not None else {}
        addresses = _venue_keys((*given, *environment), known, venues)
        known |= addresses
        _refuse_unknown(given, known, str(file), foreign_keys_expected=False)
        _refuse_unknown(environment, known, "the environment", foreign_keys_expected=True)
    except ConfigError as error:
        if errors is None:
            raise
        errors.append(str(error))
    given = {key: value for key, value in given.items() if key in known}
    merged = {**given, **{key: environment[key] for key in known if environment.get(key)}}
    try:
        return Config.model_validate(
            {key: merged[key] for key in known if merged.get(key) and key not in addresses}
            | {"venue_urls": {key: merged[key] for key in addresses if merged.get(key)}}
        )
    except ValidationError as error:
        raise ConfigError(_sentence(error)) from None


def _venue_keys(
    given: Iterable[str], known: Mapping[str, str], venues: Callable[[], Iterable[str]]
) -> dict[str, str]:
    may_be = (key.startswith(PREFIX) and key.endswith("_URL") for key in given if key not in known)
    return dict.fromkeys(venues(), "") if any(may_be) else {}


def read_env_file(file: Path, problems: list[str] | None = None) -> dict[str, str]:
    """Return the settings of a `.env` file by name; none where there is no file.

    Lines are as dotenv reads them (`export`, quotes, comments), without interpolation: a `$` in a
    password is a dollar. No sentence repeats a value: it may be a secret.
    Raises ConfigError naming the first line that cannot be read; given `problems`, each such line
    is named there instead and the others are returned.
    """
    if not file.exists():
        return {}
    try:
        with file.open(encoding="utf-8-sig") as stream:
            lines = list(parse_stream(stream))
    except (OSError, UnicodeDecodeError) as error:
        problem = f"{file} cannot be read ({type(error).__name__}): fix or remove it"
        if problems is None:
            raise ConfigError(problem) from None
        problems.append(problem)
        return {}
    found = [f"{file}, line {number}: {what}" for number, what in _unread(lines)]
    if found and problems is None:
        raise ConfigError(found[0])
    if problems is not None:
        problems += found
    return {one.key: one.value for one in lines if one.key and one.value is not None}


def _unread(lines: Iterable[Binding]) -> Iterator[tuple[int, str]]:
    """Give each line that means nothing, or perhaps another thing than it says, and why."""
    seen = dict[str, tuple[int, str | None]]()
    for one in lines:
        blank = len(one.original.string) - len(one.original.string.lstrip())
        number = one.original.line + one.original.string[:blank].count("\n")
        if one.error or (one.key is not None and one.value is None):
            yield number, _why(one.original.string)
        elif one.key is not None:
            second = _SECOND.search(one.value or "")
            if second:
                yield number, f"{second[1]} stands in the value of {one.key}: one setting a line"
            before = seen.setdefault(one.key, (number, one.value))
            if before[1] != one.value:
                yield number, f"{one.key} is set again, otherwise than in line {before[0]}"


def _why(text: str) -> str:
    yaml = _YAML.match(text)
    if yaml:
        return f"{yaml[1]} is followed by a colon: write it as {yaml[1]}=value"
    if _OPEN.search(text):
        return "a quote is not closed"
    return "not a setting: write it as NAME=value, a comment with #"


def _refuse_unknown(
    given: Iterable[str], known: Mapping[str, str], where: str, *, foreign_keys_expected: bool
) -> None:
    for key in given:
        ours = key.upper().startswith(PREFIX)
        if key in known or (foreign_keys_expected and not ours):
            continue
        if ours or get_close_matches(key.upper(), known, 1, ALMOST):
            near = get_close_matches(key.upper(), known, n=1, cutoff=0.0)[0]
            raise ConfigError(f"{where} sets {key}, which is not a setting: did you mean {near}?")


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    said = first["msg"].removeprefix("Value error, ")
    return f"{place}: {said}" if place else said
