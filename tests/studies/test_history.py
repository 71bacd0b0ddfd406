"""The study of resolved history finds a planted bias, and none where prices are fair."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.errors import BadInput
from engine.strategies.value import points_of
from studies.fair_value.scores import slope_of
from studies.history import (
    WEEK_S,
    Share,
    Tenth,
    describe,
    read_prices,
    rising,
    study,
)


def history(folder: Path, sharp: float, *, markets: int = 3_000) -> Path:
    """Write markets whose prices are the chances, their logits times `sharp`."""
    chance = np.random.default_rng(5)
    true = chance.uniform(0.05, 0.95, markets)
    price = 1 / (1 + ((1 - true) / true) ** sharp)
    paid = (chance.random(markets) < true).astype(float)
    names = [f"m{i}" for i in range(markets)]
    sides = [f"{name}-{side}" for name in names for side in ("yes", "no")]
    ends = [(i + 2) * WEEK_S // 20 for i in range(markets)]
    tables = {
        "candles_1d": {"instrument_id": sides,
                       "released_at": [end - 1_000 for end in ends for _ in "yn"],
                       "close": [p for one in price for p in (one, 1 - one)]},
        "outcomes": {"instrument_id": sides, "market_id": [n for n in names for _ in "yn"],
                     "payoff_on_resolve": [p for one in paid for p in (one, 1 - one)],
                     "sort_order": [0, 1] * markets},
        "resolutions": {"market_id": names, "resolved_at": ends},
    }  # fmt: skip
    for name, columns in tables.items():
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    return folder


def test_a_planted_bias_is_found_and_pays_held_out(tmp_path: Path) -> None:
    result = study(read_prices(history(tmp_path, 1.8)), None, 300, 1)
    assert (result.markets, result.prices) == (3_000, 3_000)
    assert sum(one.markets for one in (*result.before, *result.after)) == 3_000
    assert result.slope == pytest.approx(1 / 1.8, abs=0.08)
    assert result.brier_gain.low > 0.0
    assert result.gain is not None
    assert result.gain.low > 0.0
    text = describe(result)
    line = next(one for one in text.split("\n") if one.startswith("table="))
    assert points_of(line.removeprefix("table=")) == result.table


def test_fair_prices_have_a_slope_of_one_and_no_edge(tmp_path: Path) -> None:
    result = study(read_prices(history(tmp_path, 1.0)), None, 300, 1)
    assert result.slope == pytest.approx(1.0, abs=0.1)
    assert result.brier_gain.low <= 0.0
    assert result.gain is None or result.gain.low <= 0.0


def test_days_count_back_from_the_resolution(tmp_path: Path) -> None:
    prices = read_prices(history(tmp_path, 1.0, markets=100))
    with pytest.raises(BadInput, match="no price is left"):
        study(prices, (1, 5), 10, 1)


def test_a_table_never_falls() -> None:
    rows = [(0.1, 0.1, 10), (0.3, 0.4, 10), (0.5, 0.2, 30)]
    tenths = [Tenth(low=p, markets=n, price=p, paid=Share(q, 0.0, 1.0)) for p, q, n in rows]
    assert rising(tenths) == ((0.1, 0.1), (0.45, 0.25))


def test_a_slope_is_that_of_the_chances() -> None:
    logits = np.linspace(-3, 3, 20_001)
    happens = 1 / (1 + np.exp(-0.6 * logits))
    paid = (np.random.default_rng(1).random(len(logits)) < happens).astype(float)
    assert slope_of(1 / (1 + np.exp(-logits)), paid) == pytest.approx(0.6, abs=0.04)


def test_a_folder_without_history_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no daily history can be read there"):
        read_prices(tmp_path)
