"""What a person asked of a replay: checked, prepared, and its run stored."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Self

import msgspec
from pydantic import ValidationError

from engine.bots.bot import Bot
from engine.bots.slices import SECOND_NS
from engine.config import Config
from engine.domain.backtests import BAR_FILES, stated_bot
from engine.domain.decisions import Decision, Planned, Unit
from engine.domain.instruments import BotId, Mode
from engine.domain.limits import LIMITS
from engine.domain.money import MICRO
from engine.domain.plain import PlainDict
from engine.domain.settings import BotSettings, RiskLimits
from engine.errors import BadInput, ConfigError, StorageError
from engine.lab.recordings.bar_files import LATENCY_MS_MIN, BarRecording
from engine.lab.recordings.door import (
    MadeRecording,
    OutcomeRecording,
    Recording,
    RecordingUntil,
)
from engine.lab.recordings.made_bars import NO_COSTS, BarMarket
from engine.lab.recordings.open import currency_recorded, open_recording
from engine.lab.replay.bar_lane import CountRepeated
from engine.lab.replay.result import ReplayResult, summarise
from engine.lab.replay.run import ACCOUNT, CURRENCY, Replay, assemble
from engine.risk.sizing import most_in_one_micro
from engine.runtime.bot_runner import bot_of
from engine.runtime.decisions import DecisionLog
from engine.runtime.journal import DigestRecorder, Recorder
from engine.strategies.registry import build
from engine.venues.paper.settings import FillModel, PaperSettings
from storage.database import connect_writer
from storage.journal_writer import JournalWriter
from storage.runs import Run, RunKind, RunMarket, RunStatus, Sweep, drawdown, save_run
from storage.schema import check_schema, migrate
from storage.views import Row

ENGINE = "replay"
REPLAY_BOTS = "replay-bots"
"""Stands where a run names its bot and has several."""
DATASET = "dataset.json"
"""What a folder of imported data holds, as `storage/datasets.py` has it."""
REPLAY_MARK_AGE_MS = 86_400_000
"""A recording without outcomes leaves inventory unresolved. Worth nothing after ten minutes, as a
live account counts it, it would stop the account on the first morning; so a replay keeps the last
two-sided value for a day and reports what is left as unresolved."""


@dataclass(frozen=True, kw_only=True)
class ReplayOptions:
    """What a person asked for. Money in micro-units."""

    path: Path
    strategy: str
    parameters: Mapping[str, str]
    limits: Mapping[str, str]
    cash_micro: int
    model: str
    latency_ms: int
    decisions: bool
    journal_full: bool
    trade_size_cap: int | None = None
    """Most a trade's inferred size may be, in size increments; None = as the level fell."""
    imports: bool = True
    """Keep what a raw recording tells, and read that the next time."""
    start_ns: int | None = None
    """Bots trade from here on; before it books, bars and indicators warm up. None = at once."""
    until_ns: int | None = None
    """What comes at or after this is not played; None = all of it is."""
    bar_market: BarMarket = NO_COSTS
    """What is assumed around the bars of a file of bars."""
    instrument: str = ""
    """The name of the instrument of a file of bars; empty = the file's."""
    outcomes: Path | None = None
    """A file of outcomes for markets the recording tells none of; see `read_outcomes`."""
    funding: Path | None = None
    """A data set of rates for the perpetual of bars, trades or quotes; None = none are known."""
    job: int | None = None
    """The worker's job it belongs to; None = asked for by hand."""
    bots: tuple[BotSettings, ...] = ()
    """Several bots at one account; none = one of `strategy` with all of the cash."""
    sweep: Sweep | None = None
    """Which set of a sweep it is; None = played alone."""

    def stated(self) -> PlainDict:
        """Return what must be repeated to repeat the run, and the sweep it was one set of."""
        more = {} if self.sweep is None else {"sweep": msgspec.to_builtins(self.sweep)}
        if self.bots:
            more["bots"] = {bot.name: stated_bot(bot) for bot in self.bots}
        return more | {
            "parameters": dict(self.parameters),
            "limits": dict(self.limits),
            "cash_micro": self.cash_micro,
            "model": self.model,
            "latency_ms": self.latency_ms,
            "trade_size_cap": self.trade_size_cap,
            "start_ns": self.start_ns,
            "until_ns": self.until_ns,
            "bar_market": asdict(self.bar_market),
            "instrument": self.instrument,
            "outcomes": None if self.outcomes is None else str(self.outcomes),
            "funding": None if self.funding is None else str(self.funding),
        }

    @classmethod
    def of_run(cls, run: Row) -> Self:
        """Return what a stored run was asked for, but nothing of it is kept. `run` is its row.

        What `stated` wrote, read back; a key that older versions did not write has its default.
        Raises BadInput for parameters that no version of ours wrote.
        """
        try:
            stated = json.loads(run["parameters"] or "{}")
            outcomes, funding = stated.get("outcomes"), stated.get("funding")
            return cls(
                path=Path(run["recording"]),
                strategy=run["strategy"],
                parameters=stated["parameters"],
                limits=stated["limits"],
                cash_micro=stated["cash_micro"],
                model=stated["model"],
                latency_ms=stated["latency_ms"],
                decisions=False,
                journal_full=False,
                trade_size_cap=stated.get("trade_size_cap"),
                start_ns=stated.get("start_ns"),
                until_ns=stated.get("until_ns"),
                bar_market=BarMarket(**stated["bar_market"])
                if "bar_market" in stated
                else NO_COSTS,
                instrument=stated.get("instrument", ""),
                outcomes=None if outcomes is None else Path(outcomes),
                funding=None if funding is None else Path(funding),
                bots=tuple(
                    BotSettings(name=name, account=ENGINE, **fields)
                    for name, fields in stated.get("bots", {}).items()
                ),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadInput(
                f"backtest {run['id']} does not say what it played ({error!r}): start it again"
            ) from None


def _made_of(settings: BotSettings) -> Bot:
    try:
        return bot_of(settings, ACCOUNT, everywhere=True)
    except (BadInput, ConfigError) as error:
        raise ConfigError(f"bot {settings.name}: {error}") from None


class PreparedReplay:
    """A replay ready to run once, and to be stored afterwards.

    As a context it leaves nothing on the disk of a run that was not stored, whatever ended it.
    """

    def __init__(
        self, options: ReplayOptions, config: Config, recording: Recording | None = None
    ) -> None:
        """Open the recording, unless one is given that is played to others, too."""
        self._options = options
        self._config = config
        self._started_ns = time.time_ns()
        self.folder = config.home / "runs" / f"{self._started_ns}"
        # Everything a person gave is checked before anything is made on the disk.
        bots, limits, paper = self._bots(), limits_of(options.limits), paper_of(options)
        self.recording = recording or opened(options, config)
        self._tick_ns = SECOND_NS
        if (made := _made(self.recording)) is not None:
            self._tick_ns = made.tick_ns
            limits, paper = _for_made(made, options, limits, paper)
        else:
            paper = paper_of(options, currency_recorded(options.path))
        self._stored = False
        self._files = ExitStack()
        """Closes what the run writes: at its end, and where it never begins."""
        try:
            self._replay = self._assembled(bots, limits, paper)
        except BaseException:
            with ExitStack() as ends:
                ends.callback(self._discard)
                ends.push(self._files)
            raise

    def _assembled(self, bots: tuple[Bot, ...], limits: RiskLimits, paper: PaperSettings) -> Replay:
        options = self._options
        if options.journal_full or options.decisions:
            self.folder.mkdir(parents=True, exist_ok=True)
        recorder = self._open_recorder()
        self._files.callback(recorder.close)
        decide: Callable[[Decision], None] = _ignored
        explain: Callable[[Planned], None] | None = None
        repeat: CountRepeated | None = None
        if options.decisions:
            path = self.folder / "decisions.db"
            decisions = DecisionLog(path, engine_id=ENGINE, waits_when_full=True)
            self._files.callback(decisions.close)
            decide = explain = decisions.append
            repeat = decisions.repeat
        return assemble(
            recording=self.recording,
            bots=bots,
            limits=limits,
            paper=paper,
            cash_micro=options.cash_micro,
            recorder=recorder,
            decide=decide,
            explain=explain,
            currency=next(iter(paper.starting_cash)),
            start_ns=options.start_ns,
            tick_ns=self._tick_ns,
            says=options.decisions,
            repeat=repeat,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._discard()

    def _discard(self) -> None:
        if not self._stored:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _bots(self) -> tuple[Bot, ...]:
        options = self._options
        name = BotId(f"replay-{options.strategy}")
        try:
            if options.bots:
                return tuple(map(_made_of, options.bots))
            strategy = build(options.strategy, options.parameters, name)
        except BadInput as error:
            raise ConfigError(str(error)) from None
        alone = Bot(
            name=name,
            account=ACCOUNT,
            strategy=strategy,
            capital_micro=options.cash_micro,
            everything=True,
        )
        return (alone,)

    def _open_recorder(self) -> Recorder:
        if not self._options.journal_full:
            return DigestRecorder()
        return JournalWriter(
            self.folder / "journal.db", engine_id=ENGINE, waits_when_full=True, synchronous="NORMAL"
        )

    def run(self, progress: Callable[[int, float], None]) -> ReplayResult:
        """Play it; the journal and the decisions are on the disk afterwards, whatever happens."""
        with self.playing() as replay:
            return replay.run(progress)

    @contextmanager
    def playing(self) -> Iterator[Replay]:
        with self._files:
            yield self._replay

    def store(self, result: ReplayResult) -> PlainDict:
        """Keep the run with its equity and markets; return its summary, with its number as run."""
        options = self._options
        summary = summarise(result, self.recording) | _benchmark(self.recording, options)
        errors = [*result.bot_errors.values(), *([result.torn] if result.torn else [])]
        make_ready(self._config)
        run = Run(
            engine_id=ENGINE,
            account=ACCOUNT,
            mode=Mode.PAPER,
            kind=RunKind.REPLAY,
            recording=str(options.path),
            bot=f"replay-{options.strategy}" if not options.bots else REPLAY_BOTS,
            strategy=options.strategy,
            parameters=json.dumps(options.stated()),
            job=options.job,
            started_ns=self._started_ns,
            finished_ns=time.time_ns(),
            status=RunStatus.FAILED if errors else RunStatus.DONE,
            error="; ".join(errors),
            digest=result.digest,
            frames=self.recording.stats.frames,
            orders=result.orders,
            fills=result.fills,
            fees_micro=result.fees_micro,
            pnl_micro=result.equity_end_micro - result.equity_start_micro,
            events_per_s=result.events / result.elapsed_s if result.elapsed_s else 0.0,
            peak_rss_mb=result.peak_rss_mb,
            result=json.dumps(summary),
        )
        connection = connect_writer(self._config.state_path)
        try:
            number = save_run(connection, run, equity=result.equity, markets=_markets(result))
        finally:
            connection.close()
        self._stored = True
        return summary | {"run": number}


def _benchmark(recording: Recording, options: ReplayOptions) -> dict[str, object]:
    """Return what holding the instrument with all of the cash brought; nothing where no bars are.

    Without fees and spread. Cash, the other benchmark, brings 0.
    """
    made = _made(recording)
    if made is None:
        return {}
    worth = made.held(options.start_ns, options.until_ns)
    if not worth:
        return {}
    hold = options.cash_micro / MICRO * (worth[-1] / worth[0] - 1)
    return {
        "benchmark": {
            "hold": hold,
            "hold_drawdown": drawdown(worth),
            "cash": 0.0,
            "share": _share(limits_of(options.limits), options.cash_micro),
        }
    }


def _share(limits: RiskLimits, cash_micro: int) -> float:
    """Return the part of the cash that may be exposed in one instrument as the run starts."""
    return min(most_in_one_micro(limits, cash_micro), cash_micro) / cash_micro


def _markets(result: ReplayResult) -> list[RunMarket]:
    traded = (market for market in result.markets.values() if market.orders)
    return [msgspec.convert(market, RunMarket, from_attributes=True) for market in traded]


def opened(options: ReplayOptions, config: Config) -> Recording:
    """Open what a run plays, as it was asked for. Raises BadInput in a sentence."""
    imports = config.imports_folder if options.imports else None
    if options.path.is_file() and options.path.name.endswith(BAR_FILES):
        bars = BarRecording(options.path, market=options.bar_market, name=options.instrument)
        recording: Recording = bars
    elif (options.path / DATASET).is_file():
        recording = _dataset(options)
    else:
        recording = open_recording(options.path, options.trade_size_cap, imports)
    if options.funding is not None:
        recording = _funded(recording, options.funding)
    if options.outcomes is not None:
        recording = OutcomeRecording(recording, options.outcomes)
    if options.until_ns is not None:
        recording = RecordingUntil(recording, options.until_ns)
    return recording


def _funded(recording: Recording, rates: Path) -> Recording:
    from engine.lab.recordings.funding import with_rates  # noqa: PLC0415 it needs Arrow

    if not isinstance(recording, MadeRecording):
        raise BadInput(
            f"{rates.name}: rates go with bars, trades or quotes; a recording says its own funding"
        )
    return with_rates(recording, rates)


def _dataset(options: ReplayOptions) -> Recording:
    from engine.lab.recordings.imported import open_dataset  # noqa: PLC0415 it needs Arrow

    return open_dataset(options.path, market=options.bar_market, name=options.instrument)


def _made(recording: Recording) -> MadeRecording | None:
    """Return a recording whose book is made by laws, within an end of time; None = it is not."""
    inner = recording.recording if isinstance(recording, RecordingUntil) else recording
    return inner if isinstance(inner, MadeRecording) else None


def _for_made(
    made: MadeRecording, options: ReplayOptions, limits: RiskLimits, paper: PaperSettings
) -> tuple[RiskLimits, PaperSettings]:
    """Return limits and account as a made book needs them. Raises ConfigError without any latency.

    A book of bars is as old as a bar, and the account counts in the recording's own currency.
    """
    if options.latency_ms < LATENCY_MS_MIN:
        raise ConfigError(
            f"--latency-ms 0: bars need at least {LATENCY_MS_MIN} ms, or an order fills at the "
            "close that decided it"
        )
    if "data_age_ms_max" not in options.limits:
        limits = limits.model_copy(update={"data_age_ms_max": made.data_age_ms})
    cash = {made.currency: options.cash_micro / MICRO}
    return limits, paper.model_copy(update={"starting_cash": cash})


def make_ready(config: Config) -> None:
    """See to it that runs can be stored; a file that is up to date is not touched.

    Others may store theirs at this moment, and only one program may migrate.
    """
    config.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        check_schema(config.state_path)
    except StorageError:
        migrate(config.state_path)


def prepare(options: ReplayOptions, config: Config) -> PreparedReplay:
    """Check everything a person gave, open the recording, wire the cores.

    Raises ConfigError for an argument, BadInput for the recording.
    """
    return PreparedReplay(options, config)


def paper_of(options: ReplayOptions, currency: str = CURRENCY) -> PaperSettings:
    """Return the paper account. Raises ConfigError naming the argument."""
    if options.cash_micro <= 0:
        raise ConfigError("--cash: a replay needs more than nothing to start with")
    try:
        return PaperSettings(
            order_latency_ms=options.latency_ms,
            cancel_latency_ms=options.latency_ms,
            model=FillModel(options.model),
            starting_cash={currency: options.cash_micro / MICRO},
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        flag = "--cash" if first["loc"][0] == "starting_cash" else "--latency-ms"
        raise ConfigError(f"{flag} {first['input']}: {first['msg']}") from None


def _ignored(decision: Decision) -> None:
    """Keep no record of the decision: it was switched off."""


def _basis_points(name: str, percent: str) -> int:
    try:
        return round(Decimal(percent) * 100)
    except InvalidOperation:
        raise ConfigError(f"limit {name}: {percent!r} is no number") from None


def limits_of(pairs: Mapping[str, str]) -> RiskLimits:
    """Return the risk limits with these changes. Raises ConfigError naming the field."""
    values: dict[str, object] = {"mark_age_ms_max": REPLAY_MARK_AGE_MS}
    for name, text in pairs.items():
        if name not in LIMITS:
            known = ", ".join(LIMITS)
            raise ConfigError(f"there is no limit {name!r}; known: {known}")
        if text.endswith("%") and LIMITS[name].unit is Unit.BPS:
            values[name] = _basis_points(name, text[:-1])
        elif text.endswith("%"):
            values[name] = {"percent": text[:-1]}
        elif LIMITS[name].unit is not Unit.MICRO:
            values[name] = text
        else:
            values[name] = {"absolute": text}
    try:
        return RiskLimits.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"limit {field}={first['input']}: {first['msg']}") from None
