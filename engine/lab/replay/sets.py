"""Many sets of parameters in one reading of a recording, shared out over processes.

Every set has an account, a venue, a journal and a run of its own and knows nothing of the others:
its digest is that of a replay of it alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec

from engine.config import Config
from engine.domain.plain import PlainDict
from engine.errors import ConfigError
from engine.lab.recordings.door import Recording
from engine.lab.replay.run import play
from engine.lab.replay.setup import PreparedReplay, ReplayOptions, make_ready
from engine.venues.paper.settings import FillModel
from storage.runs import Sweep
from storage.views import SWEEP_MAX

SetProgress = Callable[[Recording, int, float], None]
"""Is given the recording that is played, with the events and seconds so far."""


class SetFile(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What one set changes. What it leaves out is as the command line says."""

    bot: str | None = None
    parameters: dict[str, str | int | float | bool] = {}
    limits: dict[str, str | int | float] = {}
    model: FillModel | None = None
    latency_ms: Annotated[int, msgspec.Meta(ge=0, le=60_000)] | None = None


def read_sets(
    files: Sequence[Path], base: ReplayOptions, began_ns: int
) -> dict[str, ReplayOptions]:
    """Return the options of every set, by the name of its file; `began_ns` names the sweep.

    Raises ConfigError.
    """
    if len(files) > SWEEP_MAX:
        raise ConfigError(f"--set: {len(files)} sets are more than the {SWEEP_MAX} of one command")
    found: dict[str, ReplayOptions] = {}
    for file in files:
        if file.stem in found:
            raise ConfigError(f"--set {file}: another set is called {file.stem!r}; rename one")
        try:
            given = msgspec.json.decode(file.read_bytes(), type=SetFile)
        except (OSError, msgspec.DecodeError) as error:
            raise ConfigError(f"--set {file}: {error}") from None
        found[file.stem] = replace(
            base,
            strategy=given.bot or base.strategy,
            parameters={**base.parameters, **_texts(given.parameters)},
            limits={**base.limits, **_texts(given.limits)},
            model=base.model if given.model is None else given.model.value,
            latency_ms=base.latency_ms if given.latency_ms is None else given.latency_ms,
            sweep=Sweep(id=began_ns, set=file.stem, of=len(files)),
        )
    return found


def _texts(values: PlainDict) -> dict[str, str]:
    return {name: str(value) for name, value in values.items()}


def band_of(options: ReplayOptions, began_ns: int) -> dict[str, ReplayOptions]:
    """Return one set for each way in which paper orders may fill; `began_ns` names the band.

    The realistic one alone keeps a journal, decisions and the job, and is stored last: where it is
    stored, all are.
    """
    real = FillModel.REALISTIC
    models = [*(model for model in FillModel if model is not real), real]
    return {
        model.value: replace(
            options,
            model=model.value,
            decisions=options.decisions and model is real,
            journal_full=options.journal_full and model is real,
            job=options.job if model is real else None,
            sweep=Sweep(id=began_ns, set=model.value, of=len(models), band=True),
        )
        for model in models
    }


def play_sets(
    sets: Sequence[ReplayOptions], config: Config, *, processes: int, progress: SetProgress
) -> list[dict[str, object]]:
    """Replay every set, `processes` readings at once (0 = one per core); give their summaries.

    All must name the same recording. Each is stored as a run of its own. Raises as `play` does.
    """
    share = max(1, min(processes or os.cpu_count() or 1, len(sets)))
    if share == 1:
        return _pass(sets, config, progress)
    make_ready(config)
    _import(sets[0], config, progress)
    shares = [list(range(first, len(sets), share)) for first in range(share)]
    found: dict[int, dict[str, object]] = {}
    with ProcessPoolExecutor(share - 1) as pool:
        others = [pool.submit(_pass, [sets[n] for n in mine], config) for mine in shares[1:]]
        done = [_pass([sets[n] for n in shares[0]], config, progress)]
        done += [other.result() for other in others]
        for mine, summaries in zip(shares, done, strict=True):
            found.update(zip(mine, summaries, strict=True))
    return [found[number] for number in range(len(sets))]


def _import(options: ReplayOptions, config: Config, progress: SetProgress) -> None:
    """Read a raw recording once before several processes would."""
    with PreparedReplay(options, config) as first:
        recording = first.recording
        with first.playing():
            if recording.stats.imported_ns is None and options.imports:
                play((), recording, partial(progress, recording))


def _pass(
    sets: Sequence[ReplayOptions], config: Config, progress: SetProgress = lambda *_: None
) -> list[dict[str, object]]:
    with ExitStack() as ends:
        first = ends.enter_context(PreparedReplay(sets[0], config))
        recording = first.recording
        others = (PreparedReplay(one, config, recording) for one in sets[1:])
        prepared = [first, *(ends.enter_context(other) for other in others)]
        with ExitStack() as files:
            replays = [files.enter_context(one.playing()) for one in prepared]

            play(replays, recording, partial(progress, recording))
        return [one.store(replay.result) for one, replay in zip(prepared, replays, strict=True)]
