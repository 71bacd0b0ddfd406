from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from engine.errors import BadInput
from studies import brier, main
from studies.brier import (
    HORIZONS_S,
    ForecastMoment,
    RecordedMarket,
    Tick,
    forecasts,
    read_markets,
    read_ticks,
    score,
    study,
)

S = 1_000_000_000
E8 = 10**8


def ticks(prices: list[float], delay_ns: int = S) -> list[Tick]:
    return [
        Tick(second * S + delay_ns, second * S, round(price * E8))
        for second, price in enumerate(prices)
    ]


def market(closes_s: int = 600, strike: float | None = 60_000.0) -> RecordedMarket:
    return RecordedMarket(
        slug="m",
        starts_ns=(closes_s - 300) * S,
        closes_ns=closes_s * S,
        strike_e8=None if strike is None else round(strike * E8),
        up=True,
    )


def write(folder: Path, prices: list[float]) -> None:
    rows = ["feed_ts_ms,value,full_accuracy_value,server_ts_ms,recv_ms"]
    rows += [
        f"{i * 1000},{p},{round(p * 1e8) * 10**10},{i * 1000},{i * 1000 + 900}"
        for i, p in enumerate(prices)
    ]
    (folder / "BTCUSD-prices-2026-01-01.csv.gz").write_bytes(
        gzip.compress("\n".join(rows).encode())
    )
    lines = [
        json.dumps(
            {
                "slug": f"btc-{end}", "start_sec": end - 300, "end_sec": end,
                "outcome_prices": outcome, "strike_value": strike,
            }
        )
        for end, outcome, strike in (
            (600, ["1", "0"], str(60_000 * 10**18)),
            (900, ["0", "1"], str(60_000 * 10**18)),
            (1200, ["1", "0"], None),
        )
    ]  # fmt: skip
    path = folder / "BTC-5m-markets-2026-01-01.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))


def test_nothing_received_later_reaches_a_forecast() -> None:
    calm, wild = (ticks([60_000.0 + second % 2 for second in range(600)]) for _ in range(2))
    # Made before the evaluation at 360 s, received after it.
    for heard, price in ((calm, 60_001), (wild, 90_000)):
        heard[359] = Tick(361 * S, 359 * S, price * E8)
    one = {m.horizon_s: m for m in forecasts(calm, [market()], Counter())}
    other = {m.horizon_s: m for m in forecasts(wild, [market()], Counter())}
    assert one[240] == other[240]
    assert one[120] != other[120]


def test_above_the_strike_up_is_likely_and_more_so_near_the_close() -> None:
    prices = [60_010.0 + second % 2 for second in range(600)]
    found = forecasts(ticks(prices), [market()], Counter())
    assert [moment.horizon_s for moment in found] == list(HORIZONS_S)
    assert all(moment.ours > 0.5 for moment in found)
    assert all(moment.spot > 0.5 for moment in found)
    assert found[-1].ours > found[0].ours


def test_moments_without_a_forecast_are_counted_by_their_gate() -> None:
    left_out: Counter[str] = Counter()
    prices = [60_000.0 + second % 2 for second in range(400)]
    found = forecasts(ticks(prices), [market(), market(strike=None)], left_out)
    assert [moment.horizon_s for moment in found] == [240]
    assert left_out == {"oracle_age_ms": 3, "strike_proven": 4}


def test_scores_are_squares_and_differences_are_paired() -> None:
    moments = [ForecastMoment("a", 60, 0.9, 0.6, True), ForecastMoment("b", 60, 0.2, 0.4, False)]
    row = score(moments, 60, resamples=200, seed=1)
    assert row.ours.mean == pytest.approx((0.01 + 0.04) / 2)
    assert row.spot.mean == pytest.approx(0.16)
    assert row.half_less_ours.mean == pytest.approx(0.25 - 0.025)
    assert row.spot_less_ours.low <= row.spot_less_ours.mean <= row.spot_less_ours.high
    assert row == score(moments, 60, resamples=200, seed=1)


def test_no_moments_is_no_score() -> None:
    with pytest.raises(BadInput, match="60 s"):
        score([], 60, resamples=10, seed=1)


def test_the_command_tells_a_table_or_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, [60_000.0 + second % 7 for second in range(1201)])
    assert main(brier, [str(tmp_path), "--resamples", "50"]) == 0
    table = capsys.readouterr().out
    assert "240 s        2" in table
    assert "4 strike_proven" in table
    assert main(brier, [str(tmp_path), "--resamples", "50", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [row["horizon_s"] for row in told["horizons"]] == list(HORIZONS_S)
    assert told["left_out"] == {"strike_proven": 4}


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="has no BTCUSD-prices"):
        study(tmp_path)
    write(tmp_path, [60_000.0] * 10)
    prices = tmp_path / "BTCUSD-prices-2026-01-01.csv.gz"
    markets = tmp_path / "BTC-5m-markets-2026-01-01.jsonl.gz"
    prices.write_bytes(gzip.compress(b"feed_ts_ms,full_accuracy_value,recv_ms\n1,x,2\n"))
    with pytest.raises(BadInput, match="line 2"):
        read_ticks(prices)
    prices.write_bytes(gzip.compress(b"feed_ts_ms,full_accuracy_value,recv_ms\n")[:-4])
    with pytest.raises(BadInput, match="line 2: the file is truncated"):
        read_ticks(prices)
    markets.unlink()
    with pytest.raises(BadInput, match="cannot be read"):
        read_markets(markets)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("1,x,2", "full_accuracy_value 'x' is not a whole number"),
        ("1,0,2", "full_accuracy_value 0 must be between"),
        ("1,-60000000000000000000000,2", "full_accuracy_value -6.* must be between"),
        ("1,5,2", "full_accuracy_value 5 must be between"),
        (f"1,{'9' * 400},2", "full_accuracy_value 999.* must be between"),
        (f"{'9' * 30},60000000000000000000000,2", "feed_ts_ms 999.* must be between"),
        ("1,60000000000000000000000", "column recv_ms is missing"),
        ("1,\xff,2", "not UTF-8 text"),
    ],
)
def test_tick_that_cannot_be_is_a_sentence_with_file_and_line(
    tmp_path: Path, row: str, said: str
) -> None:
    path = tmp_path / "BTCUSD-prices-2026-01-01.csv.gz"
    good = "1,60000000000000000000000,2"
    rows = f"feed_ts_ms,full_accuracy_value,recv_ms\n{good}\n{row}\n"
    path.write_bytes(gzip.compress(rows.encode("latin-1")))
    with pytest.raises(BadInput, match=rf"2026-01-01.csv.gz, line 3: {said}") as refused:
        read_ticks(path)
    assert "Error(" not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"outcome_prices": ["0.3", "0.7"]}, "outcome_prices 0.3 and 0.7 are no outcome"),
        ({"outcome_prices": ["1"]}, "outcome_prices"),
        ({"start_sec": "600"}, "start_sec"),
        ({"end_sec": 1}, "its window from 300 to 1 is none"),
        ({"end_sec": 10**30}, "end_sec|window"),
        ({"strike_value": "0"}, "strike_value 0 must be a price above 0"),
        ({"strike_value": "-5"}, "strike_value -5 must be a price above 0"),
        ({"strike_value": "many"}, "strike_value"),
        ({"slug": None}, "slug"),
    ],
)
def test_market_that_cannot_be_is_a_sentence_with_file_and_line(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    path = tmp_path / "BTC-5m-markets-2026-01-01.jsonl.gz"
    good = {
        "slug": "a", "strike_value": None, "start_sec": 300, "end_sec": 600,
        "outcome_prices": ["1", "0"],
    }  # fmt: skip
    lines = f"{json.dumps(good)}\n{json.dumps(good | change)}\n"
    path.write_bytes(gzip.compress(lines.encode()))
    with pytest.raises(BadInput, match=r"jsonl\.gz, line 2: not a market") as refused:
        read_markets(path)
    assert re.search(said, str(refused.value))
    assert "Error(" not in str(refused.value)


def test_market_that_paid_half_for_each_side_is_left_out_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, [60_000.0 + second % 7 for second in range(1201)])
    path = tmp_path / "BTC-5m-markets-2026-01-01.jsonl.gz"
    lines = gzip.decompress(path.read_bytes()).splitlines()
    half = json.loads(lines[1]) | {"slug": "btc-half", "outcome_prices": ["0.5", "0.5"]}
    path.write_bytes(gzip.compress(b"\n".join([*lines, json.dumps(half).encode()])))
    whole = study(tmp_path, resamples=10)
    assert whole.undecided == ("btc-half",)
    assert {row.horizon_s: row.markets for row in whole.horizons}[240] == 2
    assert main(brier, [str(tmp_path), "--resamples", "10"]) == 0
    assert "they paid half for each side: 1 (btc-half)" in capsys.readouterr().out


def test_arguments_out_of_range_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main(brier, [str(tmp_path), "--resamples", "0"])
    assert ended.value.code == 2


@pytest.mark.recordings
def test_the_fair_value_beats_a_coin_at_every_horizon(recordings: Path) -> None:
    result = study(recordings / "polymarket_chainlink", resamples=500)
    assert [row.horizon_s for row in result.horizons] == list(HORIZONS_S)
    for row in result.horizons:
        assert row.markets >= 250
        assert row.half_less_ours.low > 0
        # Against the plain spot formula the recording only shows that ours is not worse.
        assert row.spot_less_ours.high > 0
    assert sum(result.left_out.values()) + sum(r.markets for r in result.horizons) == (
        result.markets * len(HORIZONS_S)
    )
