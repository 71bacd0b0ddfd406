"""Evidence: every strategy over the data that is here, and what that shows beyond chance.

Each is played with its defaults, twice in the same pass: with `CAPITAL` and with ten times as much,
which shows how much of its result is left where it is larger. The account has `CASH_TIMES` its
capital, so that limits of an account do not size what a strategy wants. Orders and cancels need
`LATENCY_MS`; fees are the venue's, of bars `BAR_MARKET`'s.

What cannot have what a strategy needs (`Needs`) is not played to it: it would lack that at every
moment, and its row says so as if it had been.

The interval is a circular block bootstrap over markets or days in order of time (Politis and
Romano, 1992, "A circular block-resampling procedure for stationary data"), blocks of n^(1/3): what
lies side by side is not independent. Of bars each day is set beside holding the instrument with the
same capital from the first bar on, and the difference has an interval of its own. Lower ends are
also taken at the level over the number of trials (Bonferroni): the best of many is partly luck.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from engine.bots.bot import Bot
from engine.bots.slices import SECOND_NS
from engine.code_digest import code_digest
from engine.config import Config
from engine.domain.backtests import BAR_FILES
from engine.domain.bars import BarUnit, bar_spec
from engine.domain.decisions import Decision, Stance
from engine.domain.evidence import LEVEL, EvidenceRow, halves
from engine.domain.instruments import BotId, Kind
from engine.domain.money import MICRO
from engine.domain.products import RAW
from engine.domain.settings import RiskLimits
from engine.errors import BadInput
from engine.lab.recordings.bar_files import BarRecording
from engine.lab.recordings.door import Recording
from engine.lab.recordings.made_bars import BarMarket
from engine.lab.recordings.open import TapedRecording, instrument_recorded, open_recording
from engine.lab.recordings.side_by_side import SideBySide
from engine.lab.replay.result import ReplayResult
from engine.lab.replay.run import ACCOUNT, CURRENCY, Replay, assemble, play
from engine.lab.replay.setup import DATASET, REPLAY_MARK_AGE_MS, make_ready
from engine.runtime.journal import DigestRecorder
from engine.strategies.door import NEEDS_NOTHING, Needs
from engine.strategies.registry import STRATEGIES, build
from engine.venues.paper.settings import PaperSettings
from storage.database import connect_reader, connect_writer
from storage.evidence import put_evidence, rules_since, sets_played
from storage.users import ENGINE_ID

CAPITAL = 1_000.0
LARGER = 10.0
CASH_TIMES = 20.0
LATENCY_MS = 150
BAR_MARKET = BarMarket(slippage_bps=1.0)
"""What is assumed around a bar: a basis point of slippage, 10 of fee, a tenth of its volume."""
DRAWS = 4_000
DRAWS_AT_ONCE = 200
DAY_NS = 86_400 * SECOND_NS
HASH_DIGITS = 16
TOGETHER = " + "
"""Stands between the names of files that are played at the same time."""
NOTHING_HERE = (
    "there is no data here: record some, bring a file of bars on the Backtests page, name a path, "
    "or set PITBOSS_DATA"
)

ProofProgress = Callable[[int, int, str], None]
"""Takes bytes read, bytes in all, and which data is played."""


class DataSet(NamedTuple):
    """Something that can be played: a recording, or bars of files or of imports."""

    name: str
    paths: tuple[Path, ...]
    """Several are files of bars that are played at the same time."""
    bars: bool
    kind: Kind = RAW
    """Of the instrument of the bars, or of the first one recorded."""
    currency: str = CURRENCY

    @property
    def hash(self) -> str:
        """What its files hold: digits of a SHA-256 over their names and bytes."""
        total = hashlib.sha256()
        for path in self.paths:
            for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
                if file.is_file():
                    total.update(b"%s %d " % (file.name.encode(), file.stat().st_size))
                    total.update(file.read_bytes())
        return total.hexdigest()[:HASH_DIGITS]


class Interval(NamedTuple):
    """Ends of a bootstrap interval of a mean."""

    low: float
    high: float
    low_corrected: float


def block_interval(values: Sequence[float], trials: int, *, seed: int = 0) -> Interval | None:
    """Return the 95 % interval of the mean; None = fewer than two values.

    `low_corrected` is the lower end at the level divided by `trials`.
    """
    count = len(values)
    if count < 2:
        return None
    given, chance = np.asarray(values, dtype=float), np.random.default_rng(seed)
    length = max(1, round(count ** (1 / 3)))
    blocks, steps, means = -(-count // length), np.arange(length), []
    for _ in range(DRAWS // DRAWS_AT_ONCE):
        starts = chance.integers(0, count, size=(DRAWS_AT_ONCE, blocks, 1))
        drawn = ((starts + steps) % count).reshape(DRAWS_AT_ONCE, -1)[:, :count]
        means.append(given[drawn].mean(axis=1))
    ends = (LEVEL / 2, 1 - LEVEL / 2, LEVEL / 2 / max(1, trials))
    low, high, corrected = np.quantile(np.concatenate(means), ends)
    return Interval(float(low), float(high), float(corrected))


# -- which data is here ----------------------------------------------------------------------------


def data_here(config: Config, named: Sequence[str] = ()) -> tuple[list[DataSet], list[str]]:
    """Return what can be played, and a sentence for each thing that was left out.

    Recordings made here, files of bars brought here, and what lies in PITBOSS_DATA; or, of paths,
    those alone. `A + B` names files of bars that are played at the same time. Raises BadInput
    for a path that is none.
    """
    made: dict[str, DataSet] = {}
    if named:
        several = [one for one in named if TOGETHER in one and not Path(one).exists()]
        for text in several:
            together = _together([Path(one.strip()) for one in text.split(TOGETHER)])
            made[together.name] = together
        wanted = [_existing(Path(one)) for one in named if one not in several]
    else:
        folders = [config.recordings_folder, config.data_folder, config.data]
        wanted = [
            one
            for folder in folders
            if folder is not None and folder.is_dir()
            for one in sorted(folder.iterdir())
        ]
    left: list[str] = []
    for path in wanted:
        for one in (path, *_bars_in(path)):
            try:
                found = _data(one)
            except BadInput as error:
                left.append(str(error))
            else:
                made.setdefault(found.name, found)
    return list(made.values()), left


def _existing(path: Path) -> Path:
    if not path.exists():
        raise BadInput(f"{path}: there is no such file or folder")
    return path


def _together(paths: Sequence[Path]) -> DataSet:
    """Return bars as one set, of the first one's kind.

    Raises BadInput where they cannot be played together.
    """
    parts = [_bars(_existing(path)) for path in paths]
    currency, first = SideBySide(parts).currency, parts[0].instrument
    name = TOGETHER.join(path.name for path in paths)
    return DataSet(name, tuple(paths), bars=True, kind=first.kind, currency=currency)


def _bars_in(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    return [one for one in sorted(path.iterdir()) if one.name.endswith(BAR_FILES)]


def _data(path: Path) -> DataSet:
    """Return a thing that can be played. Raises BadInput where it cannot be."""
    bars = (path / DATASET).is_file() or (path.is_file() and path.name.endswith(BAR_FILES))
    if bars:
        first = _bars(path).instrument
    else:
        open_recording(path)
        recorded = instrument_recorded(path)
        if recorded is None:
            return DataSet(path.name, (path,), bars=False)
        first = recorded
    return DataSet(path.name, (path,), bars, first.kind, first.currency)


def _bars(path: Path) -> BarRecording:
    """Open a file of bars, or bars that were imported. Raises BadInput for anything else."""
    if not path.is_dir():
        return BarRecording(path, market=BAR_MARKET)
    from engine.lab.recordings.imported import open_dataset  # noqa: PLC0415 it needs Arrow

    found = open_dataset(path, market=BAR_MARKET)
    if not isinstance(found, BarRecording):
        raise BadInput(f"{path.name} holds no bars: of imports only bars are evidence")
    return found


# -- the proof -------------------------------------------------------------------------------------


def prove(
    config: Config,
    strategies: Sequence[str],
    data: Sequence[DataSet],
    now_ns: int,
    progress: ProofProgress,
) -> list[EvidenceRow]:
    """Play each strategy, empty = all, over each set of data; store a row each, and give them.

    Raises BadInput for an unknown strategy.
    """
    strategies = strategies or sorted(STRATEGIES)
    for name in strategies:
        if name not in STRATEGIES:
            raise BadInput(f"there is no strategy {name!r}; known: {', '.join(sorted(STRATEGIES))}")
    make_ready(config)
    made: list[EvidenceRow] = []
    for one in data:
        rows = [*_proven(config, strategies, one, now_ns, progress)]
        with closing(connect_writer(config.state_path)) as connection:
            put_evidence(connection, ENGINE_ID, rows)
        made += rows
    return made


def _proven(
    config: Config, strategies: Sequence[str], data: DataSet, now_ns: int, progress: ProofProgress
) -> Iterator[EvidenceRow]:
    """Play one set of data to all strategies in one pass; give a row for each."""
    recording = _opened(config, data)
    played = [name for name in strategies if not lacks(name, data, recording)]
    trials = [
        EvidenceTrial(name, recording, times, data.currency)
        for name in played
        for times in (1.0, LARGER)
    ]
    rest = [name for name in strategies if name not in played]
    idle = [EvidenceTrial("", recording, 1.0, data.currency)] if rest else []
    stats, data_hash = recording.stats, data.hash

    def report(events: int, elapsed_s: float) -> None:
        del events, elapsed_s
        progress(stats.bytes_read, stats.bytes_total, data.name)

    play([trial.replay for trial in (*trials, *idle)], recording, report)
    found = dict(zip(played, zip(trials[::2], trials[1::2], strict=True), strict=True))
    with closing(connect_reader(config.state_path)) as connection:
        for name in strategies:
            small, large = found.get(name) or (idle[0], idle[0])
            digest = code_digest(STRATEGIES[name])
            since = rules_since(connection, ENGINE_ID, name, digest)
            yield small.row(
                data,
                name=name,
                mean_10=large.found.mean,
                data_hash=data_hash,
                digest=digest,
                rules_ns=now_ns if since is None else since,
                trials=max(1, sets_played(connection, name)),
                now_ns=now_ns,
            )


def lacks(name: str, data: DataSet, recording: Recording) -> str:
    """Return what a strategy needs that the data cannot have; empty = it may have all of it.

    Of a tape made here it is not known before it is played: it may hold anything.
    """
    needs: Needs = getattr(STRATEGIES[name], "needs", NEEDS_NOTHING)
    if isinstance(recording, TapedRecording):
        return ""
    if needs.observed:
        return "nothing that somebody outside said"
    at_once = len(data.paths) if data.bars or data.kind is not RAW else needs.instruments
    if at_once < needs.instruments:
        return f"{needs.instruments} instruments at the same time"
    if needs.kinds - {data.kind} and len(data.paths) == 1:
        return f"an instrument that is {' and one that is '.join(sorted(needs.kinds))}"
    return ""


def _opened(config: Config, data: DataSet) -> Recording:
    if not data.bars:
        return open_recording(data.paths[0], imports=config.imports_folder)
    parts = [_bars(path) for path in data.paths]
    return parts[0] if len(parts) == 1 else SideBySide(parts)


@dataclass(frozen=True)
class Gains:
    """Profit or loss of each market or day, in order of time."""

    per: str
    seen: int
    values: tuple[float, ...]

    @property
    def mean(self) -> float | None:
        return sum(self.values) / len(self.values) if self.values else None


class EvidenceTrial:
    """One strategy with its defaults at an account of its own, over a recording.

    Without a name it is an account of no bot: what is there to see, and nothing is done.
    """

    def __init__(self, name: str, recording: Recording, times: float, currency: str) -> None:
        self.name = name
        gates = STRATEGIES[name].gates if name else {}
        self._needed = frozenset(gate for gate, words in gates.items() if words.needed)
        """Gates without which it lacks what it decides on: its bars, a source, a signal."""
        self._unready = 0
        self._capital = CAPITAL * times
        bars = recording if isinstance(recording, BarRecording | SideBySide) else None
        self._bars, self._recording = bars, recording
        cash = self._capital * CASH_TIMES
        self.currency = currency
        limits = RiskLimits(mark_age_ms_max=REPLAY_MARK_AGE_MS)
        if bars:
            # A book of bars is as old as a bar, which may be more than an account may ask for.
            limits = limits.model_copy(update={"data_age_ms_max": bars.data_age_ms})
        bot = BotId(f"proof-{name}")
        self.settings = {} if bars is None or not name else _fitting(name, bars)
        self.replay: Replay = assemble(
            recording=recording,
            bots=(self._bot(bot),) if name else (),
            limits=limits,
            paper=PaperSettings(
                order_latency_ms=LATENCY_MS,
                cancel_latency_ms=LATENCY_MS,
                starting_cash={self.currency: cash},
            ),
            cash_micro=round(cash * MICRO),
            recorder=DigestRecorder(),
            decide=self._decided,
            currency=self.currency,
            tick_ns=max(SECOND_NS, bars.spec.step) if bars else SECOND_NS,
            says=False,
        )

    def _bot(self, bot: BotId) -> Bot:
        return Bot(
            name=bot,
            account=ACCOUNT,
            strategy=build(self.name, self.settings, bot),
            capital_micro=round(self._capital * MICRO),
            everything=True,
        )

    def _decided(self, decision: Decision) -> None:
        if decision.stance is Stance.BLOCKED:
            lacks = (gate.name in self._needed for gate in decision.gates if not gate.passed)
            self._unready += any(lacks)

    @property
    def found(self) -> Gains:
        """What it brought, per market where there are several, else per day; of bars per day."""
        result = self.replay.result
        if self._bars is None and len(result.markets) > 1:
            return _per_market(result)
        return _per_day(result)

    def row(
        self,
        data: DataSet,
        *,
        name: str,
        mean_10: float | None,
        data_hash: str,
        digest: str,
        rules_ns: int,
        trials: int,
        now_ns: int,
    ) -> EvidenceRow:
        """Return what it shows as a row of evidence."""
        result, stats, found = self.replay.result, self._recording.stats, self.found
        interval = block_interval(found.values, trials)
        first, second = halves(found.values)
        errors = [*result.bot_errors.values(), *([result.torn] if result.torn else [])]
        alone = EvidenceRow(
            strategy=name,
            data=data.name,
            data_hash=data_hash,
            digest=digest,
            rules_ns=rules_ns,
            product=data.kind.value,
            settings=", ".join(f"{key}={value}" for key, value in self.settings.items()),
            per=found.per,
            quoted=self._bars is None,
            latency_ms=LATENCY_MS,
            currency=self.currency,
            capital=self._capital,
            seen=found.seen,
            asked=result.evaluations - self._unready,
            fills=result.fills,
            count=len(found.values),
            mean=None if interval is None else found.mean,
            low=interval and interval.low,
            high=interval and interval.high,
            low_corrected=interval and interval.low_corrected,
            first=first,
            second=second,
            fees=result.fees_micro / MICRO,
            funding=result.funding.paid_micro / MICRO if result.funding.stamps else None,
            trials=trials,
            mean_10=mean_10,
            began_ns=stats.first_ns or 0,
            ended_ns=stats.last_ns or 0,
            proved_ns=now_ns,
            error="; ".join(errors),
        )
        return self._beside_holding(alone)

    def _beside_holding(self, row: EvidenceRow) -> EvidenceRow:
        """Return the row with what holding brought, and what the strategy did over it."""
        hold, excess = self._over_holding()
        over = block_interval(excess, row.trials)
        if over is None:
            return row
        return msgspec.structs.replace(
            row,
            hold=hold,
            excess=sum(excess) / len(excess),
            excess_low=over.low,
            excess_high=over.high,
            excess_low_corrected=over.low_corrected,
        )

    def _over_holding(self) -> tuple[float | None, tuple[float, ...]]:
        """Return what holding brought per day, and by how much each day was better than that."""
        if self._bars is None:
            return None, ()
        mine, (bought, worth) = _by_day(self.replay.result), self._bars.worth_by_day()
        levels = [bought, *worth.values()]
        moves = [self._capital * (after - before) / bought for before, after in pairwise(levels)]
        held = dict(zip(worth, moves, strict=True))
        days = sorted({*mine, *held})
        if not days:
            return None, ()
        excess = tuple(mine.get(day, 0.0) - held.get(day, 0.0) for day in days)
        return sum(moves) / len(days), excess


def _fitting(name: str, recording: BarRecording | SideBySide) -> dict[str, str]:
    """Return the data's own bars as the parameter `bars`, where its default cannot be made of them.

    Longer bars are made of shorter ones whose length divides theirs.
    """
    field = STRATEGIES[name].parameters_type.model_fields.get("bars")
    if field is None:
        return {}
    wanted, there = bar_spec(field.default), recording.spec
    if wanted.unit is BarUnit.TIME and wanted.step % there.step == 0:
        return {}
    return {"bars": there.text}


def _per_market(result: ReplayResult) -> Gains:
    """Return the profit or loss of each market that was traded."""
    traded = tuple(one.pnl_micro / MICRO for one in result.markets.values() if one.fills)
    return Gains("market", len(result.markets), traded)


def _per_day(result: ReplayResult) -> Gains:
    """Return the change of the equity on each day (UTC) on which it changed."""
    changes = _by_day(result)
    return Gains("day", len(changes), tuple(one for one in changes.values() if one))


def _by_day(result: ReplayResult) -> dict[int, float]:
    """Return the change of the equity on each day (UTC) since the epoch, in order."""
    ends: dict[int, int] = {}
    for at_ns, equity in result.equity[1:]:
        ends[(at_ns - 1) // DAY_NS] = equity  # midnight ends a day
    levels = [result.equity_start_micro, *ends.values()]
    changes = [(after - before) / MICRO for before, after in pairwise(levels)]
    return dict(zip(ends, changes, strict=True))
