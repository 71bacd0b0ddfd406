"""The kernel as machine code: it does what the Python it was made from does, without a compiler."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engine.errors import BrokenInvariant, ConfigError
from engine.lab.replay import kernel_code
from engine.venues.paper import kernel
from engine.venues.paper.columns import AT_NS, LAST, OP, PRICE, SIZE, WIDTH
from engine.venues.paper.kernel import DESK_MAX, FACTS, TOUCH, TOUCHED_MAX

PRICES = 101


@pytest.fixture(scope="module")
def code() -> kernel_code.KernelCode:
    return kernel_code.load()


def arrays(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A book, two of our levels, one watch, and rows that change and print around them."""
    rng = random.Random(seed)
    grid = np.zeros((4, 2, PRICES), np.int64)
    desk = np.zeros(DESK_MAX + TOUCHED_MAX * TOUCH, np.int64)
    grid[kernel.BOOK, 0, 40:50] = [rng.randrange(1, 90) for _ in range(10)]
    grid[kernel.BOOK, 1, 52:62] = [rng.randrange(1, 90) for _ in range(10)]
    head = [rng.randrange(101), 49, 52, 101, 1, -1, -1, -1, 0, 0, 0, 0, -1, 0, -1, 10**9]
    levels_at = FACTS + kernel.WATCH
    aheads_at = levels_at + 2 * kernel.LEVEL
    end = aheads_at + 2
    watch = (1, 101, rng.choice((2, 6)))
    ours = (0, 49, 0, 0, aheads_at, aheads_at + 1, 1, 52, 0, 0, aheads_at + 1, aheads_at + 2)
    stated = [*head, levels_at, aheads_at, end, end, *watch, *ours, 30, 40]
    desk[: len(stated)] = stated
    rows = np.zeros((200, WIDTH), np.int64)
    rows[:, AT_NS] = sorted(rng.randrange(10**6) for _ in range(200))
    rows[:, OP] = [rng.choice((0, 0, 0, 1, 1, 1, 2, 3, 4)) for _ in range(200)]
    rows[:, PRICE] = [rng.randrange(38, 64) for _ in range(200)]
    rows[:, SIZE] = [rng.choice((0, 5, 50)) for _ in range(200)]
    rows[:, LAST] = 1
    return grid, desk, rows


@pytest.mark.parametrize("seed", range(40))
def test_machine_code_does_what_the_python_does(code: kernel_code.KernelCode, seed: int) -> None:
    plain, quick = arrays(seed), arrays(seed)
    assert kernel.advance(*plain) is code(*quick)
    for one, other in zip(plain, quick, strict=True):
        assert (one == other).all()


def test_no_compiler_is_loaded_to_run_it(code: kernel_code.KernelCode) -> None:
    asked = (
        "import sys, engine.lab.replay.wake as w; "
        "w.kernel_code.load(); print('numba' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", asked], cwd=kernel_code.ROOT, capture_output=True, check=True
    )
    assert done.stdout.strip() == b"False"


def test_arrays_it_could_misread_are_refused(code: kernel_code.KernelCode) -> None:
    grid, desk, rows = arrays(0)
    with pytest.raises(BrokenInvariant, match="cannot read"):
        code(grid, desk, rows[:, ::2])
    with pytest.raises(BrokenInvariant, match="cannot read"):
        code(grid, desk, rows.astype(np.float64))


def test_what_was_made_is_kept_where_the_folder_takes_it(
    code: kernel_code.KernelCode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = next(kernel_code.FOLDER.glob(f"kernel-{kernel_code._key()}.code")).read_bytes()
    monkeypatch.setattr(kernel_code, "_made", lambda: made)
    monkeypatch.setattr(kernel_code, "FOLDER", tmp_path / "kept")
    kernel_code.load()
    assert [path.read_bytes() for path in (tmp_path / "kept").iterdir()] == [made]
    (tmp_path / "file").touch()
    monkeypatch.setattr(kernel_code, "FOLDER", tmp_path / "file" / "below")
    assert kernel_code.load()(*arrays(0)) is True


def test_a_compiler_that_fails_is_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_code, "FOLDER", tmp_path)
    monkeypatch.setattr(kernel_code, "ROOT", tmp_path)  # no engine to compile there
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with pytest.raises(ConfigError, match="cannot be made"):
        kernel_code.load()
