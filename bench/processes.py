"""Runs one side of a comparison in a process of its own and reads its `RESULT {json}` line."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parent.parent
OUT = REPO / "bench" / "out"
VENVS = REPO / "bench" / ".venvs"
PEERS = Path(os.environ.pop("PITBOSS_BENCH", REPO.parent / "shared" / "bench"))
"""Where the peers' scripts for the common workload stand; without them only ours is measured."""

TIMEOUT_S = 900
Result = Mapping[str, Any]


def _children_s() -> float:
    """Return the CPU seconds of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def cpu_s(command: Sequence[str], given: Mapping[str, str] | None = None) -> float:
    """Return the CPU seconds of a command that must succeed."""
    before = _children_s()
    subprocess.run(
        command,
        cwd=REPO,
        env=os.environ | (given or {}),
        check=True,
        timeout=TIMEOUT_S,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return _children_s() - before


def run(command: Sequence[str], *, folder: Path = REPO) -> Result | None:
    """Return the last RESULT of the command with its CPU seconds as `cpu_s`, start to end.

    None (said on stderr) where it failed.
    """
    environment = os.environ | {"BENCH_DIR": str(OUT)}
    before = _children_s()
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if done.returncode or not lines:
        sys.stderr.write(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}\n")
        return None
    told: dict[str, Any] = json.loads(lines[-1].removeprefix("RESULT "))
    return told | {"cpu_s": _children_s() - before}


def ours(mode: str, workload: Path, repeat: int = 1) -> Callable[[], Result | None]:
    """Return a run of the whole engine."""
    return lambda: run([sys.executable, "-m", "bench.ours", mode, str(workload), str(repeat)])


def environment(name: str, *requirements: str) -> Path:
    """Return the Python of an environment of the bench's own, made on first use."""
    folder = VENVS / name
    python = folder / "bin" / "python"
    ready = folder / "ready"
    if not ready.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *requirements], check=True)
        ready.touch()
    return python


def peer(name: str, requirement: str, script: str, mode: str) -> Callable[[], Result | None]:
    """Return a run of a peer in an environment of its own, made on first use."""

    def go() -> Result | None:
        if not (PEERS / script).exists():
            sys.stderr.write(f"{name}: its script is not here (PITBOSS_BENCH), left out\n")
            return None
        python = environment(name, requirement, "numba")
        return run([str(python), script, mode], folder=PEERS)

    return go


def alternate(
    sides: Mapping[str, Callable[[], Result | None]], rounds: int
) -> dict[str, list[Result]]:
    """Run all sides in turn, `rounds` times, so that a noisy machine is noisy for all."""
    results: dict[str, list[Result]] = {name: [] for name in sides}
    for turn in range(rounds):
        for name, side in sides.items():
            result = side()
            if result is None:
                continue
            results[name].append(result)
            sys.stderr.write(f"  round {turn + 1}: {name} {result['cpu_s']:.1f} s CPU\n")
    return results


def median(results: Sequence[Result], key: str) -> float:
    """Return the median of one figure."""
    return statistics.median(float(result[key]) for result in results)
