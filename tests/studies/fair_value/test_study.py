from __future__ import annotations

import gzip
import json
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.errors import BadInput
from studies import main
from studies.fair_value import __main__ as command
from studies.fair_value.recorded import (
    RecordedMarket,
    Span,
    Tick,
    Top,
    read_markets,
    read_spans,
    read_ticks,
)
from studies.fair_value.scores import (
    OURS,
    ForecastMoment,
    calibration,
    log_loss,
    mean_log_loss,
    mean_score,
    scores,
)
from studies.fair_value.study import StudyResult, forecasts, held_out, study

S = 1_000_000_000
E8 = 10**8
HORIZONS_S = (240, 120, 60, 20)
"""Those within five minutes."""


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


def asked(
    received: list[Tick], *markets: RecordedMarket, left_out: Counter[str] | None = None
) -> list[ForecastMoment]:
    span = Span("day", received, list(markets), [])
    return list(forecasts(span, {}, Counter() if left_out is None else left_out))


def studied(*folders: Path, fit: dict[str, list[str]] | None = None) -> StudyResult:
    return study(
        read_spans(folders), parameters={}, fit=fit or {}, block_s=21_600, purge_s=3_600,
        resamples=50, seed=1,
    )  # fmt: skip


def test_nothing_received_later_reaches_a_forecast() -> None:
    calm, wild = (ticks([60_000.0 + second % 3 for second in range(600)]) for _ in range(2))
    # Made before the evaluation at 360 s, received after it.
    for received, price in ((calm, 60_001), (wild, 90_000)):
        received[360] = Tick(361 * S, 360 * S, price * E8)
    one = {m.horizon_s: m for m in asked(calm, market())}
    other = {m.horizon_s: m for m in asked(wild, market())}
    assert one[240] == other[240]
    assert one[120] != other[120]


def test_above_the_strike_up_is_likely_and_more_so_near_the_close() -> None:
    prices = [60_010.0 + second % 3 for second in range(600)]
    found = asked(ticks(prices), market())
    assert [moment.horizon_s for moment in found] == list(HORIZONS_S)
    assert all(moment.chances[OURS] > 0.5 for moment in found)
    assert all(moment.chances["spot"] > 0.5 for moment in found)
    assert found[-1].chances[OURS] > found[0].chances[OURS]


def test_moments_without_a_forecast_are_counted_by_their_gate() -> None:
    left_out: Counter[str] = Counter()
    prices = [60_000.0 + second % 3 for second in range(400)]
    found = asked(ticks(prices), market(), market(strike=None), left_out=left_out)
    assert [moment.horizon_s for moment in found] == [240]
    assert left_out == {"oracle_age_ms": 3, "strike_proven": 4}


def moment(slug: str, ours: float, *, up: bool, closes_s: int = 300) -> ForecastMoment:
    return ForecastMoment(slug, closes_s, 60, {OURS: ours, "spot": 0.6, "half": 0.5}, up)


def test_scores_are_squares_and_differences_are_paired() -> None:
    found = [moment("a", 0.9, up=True), moment("b", 0.2, up=False, closes_s=9_000)]
    row, together = scores(found, 200, 1)
    assert (row.horizon_s, together.horizon_s) == (60, 0)
    ours, spot, half = row.columns
    assert (ours.column, ours.moments, ours.markets) == ("ours", 2, 2)
    assert ours.brier.mean == pytest.approx((0.01 + 0.04) / 2)
    assert spot.brier.mean == pytest.approx((0.16 + 0.36) / 2)
    assert half.brier_less_ours.mean == pytest.approx(0.25 - 0.025)
    assert spot.brier_less_ours.low <= spot.brier_less_ours.mean <= spot.brier_less_ours.high
    assert ours.brier_less_ours.low == ours.brier_less_ours.high == 0.0
    assert scores(found, 200, 1) == scores(found, 200, 1)


def test_a_column_has_the_slope_of_what_happened_on_its_logit() -> None:
    moments = [
        ForecastMoment(f"m{i}", 600 + i, 60, {OURS: 0.9 if i % 2 else 0.1, "half": 0.5}, up=up)
        for i, up in enumerate([bool(i % 2) for i in range(60)] + [not i % 2 for i in range(20)])
    ]
    ours, half = scores(moments, 20, 1)[-1].columns
    # Right in three of four cases: the logit of .75 over the logit of .9.
    assert ours.slope == pytest.approx(math.log(3) / math.log(9), abs=1e-6)
    assert half.slope is None


def test_a_choice_is_made_by_both_scores() -> None:
    # The first has the higher log loss, and the lower Brier score by more.
    bold = [ForecastMoment("m", 600, 60, {OURS: one}, up=True) for one in (0.98, 0.98, 0.98, 0.08)]
    even = [ForecastMoment("m", 600, 60, {OURS: 0.53}, up=True)] * 4
    assert mean_log_loss(bold) > mean_log_loss(even)
    assert mean_score(bold) < mean_score(even)
    assert mean_score(even) == pytest.approx(-math.log2(0.53) + 0.47**2 / 0.25)


@pytest.mark.parametrize(("bid", "ask", "chance"), [((99, 5.0), None, 1.0), (None, (1, 5.0), 0.0)])
def test_a_book_with_one_side_says_0_or_1(bid: Any, ask: Any, chance: float) -> None:
    left_out: Counter[str] = Counter()
    prices = [60_010.0 + second % 3 for second in range(600)]
    tops = [Top(second * S, "m", bid, ask) for second in range(301, 600)]
    span = Span("day", ticks(prices), [market()], tops)
    found = list(forecasts(span, {}, left_out))
    assert [one.chances[OURS] for one in found] == [chance] * len(HORIZONS_S)
    assert all(one.chances["mid"] == chance and "model" not in one.chances for one in found)
    assert not left_out


@pytest.mark.parametrize(("late_ms", "known"), [(6_000, True), (299_000, False)])
def test_a_window_that_was_not_seen_from_its_start_has_no_strike(
    tmp_path: Path, late_ms: int, known: bool
) -> None:
    rows = [
        {"ts_ms": ms, "market_slug": "btc-updown-5m-0", "window_start_ms": 0,
         "window_end_ms": 300_000, "chainlink_btc": 60_001.0, "window_start_price": 60_000.0,
         "best_bid_up": 0.98, "best_ask_up": 0.99, "size_bid_up": 5.0, "size_ask_up": 5.0}
        for ms in (late_ms, 300_000)
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "btc-updown-5m.parquet")
    (span,) = read_spans([tmp_path])
    assert (span.markets[0].strike_e8 is not None, span.markets[0].up is not None) == (known, known)


def test_markets_of_one_hour_are_drawn_together() -> None:
    found = [moment("a", 0.9, up=True), moment("b", 0.2, up=True, closes_s=600)]
    brier = scores(found, 200, 1)[0].columns[0].brier
    assert brier.low == brier.mean == brier.high


def test_no_moments_is_no_score() -> None:
    with pytest.raises(BadInput, match="no market could be scored"):
        scores([], 10, 1)


def test_certainty_that_was_wrong_costs_much_but_not_everything() -> None:
    assert log_loss(1.0, up=False) == pytest.approx(9.21, abs=0.01)
    assert log_loss(0.5, up=True) == pytest.approx(0.693, abs=0.001)


def test_calibration_counts_what_happened_by_tenths() -> None:
    found = calibration(
        [moment("a", 0.95, up=True), moment("b", 0.91, up=False), moment("c", 1.0, up=True)], 50, 1
    )
    (last,) = found
    assert (last.low, last.moments) == (0.9, 3)
    assert last.forecast == pytest.approx((0.95 + 0.91 + 1.0) / 3)
    assert last.happened.mean == pytest.approx(2 / 3)


def test_a_block_is_told_by_what_was_best_on_the_others_alone() -> None:
    sure = [moment(str(n), 0.9, up=n != 2, closes_s=n * 1_000) for n in range(4)]
    shy = [moment(str(n), 0.4, up=n != 2, closes_s=n * 1_000) for n in range(4)]
    choices = [{"tails": "normal"}, {"tails": "student"}]
    scored, moments = held_out(choices, [sure, shy], block_s=1_000, purge_s=0)
    # Block 2 alone went the other way: it is told by the choice that its own outcome refutes.
    assert {one.block: one.chosen["tails"] for one in scored}[2] == "normal"
    assert [one.fitted_on for one in scored] == [3, 3, 3, 3]
    assert [m.chances[OURS] for m in moments if m.slug == "2"] == [0.9]


def test_markets_at_the_seam_of_a_block_are_not_fitted_on() -> None:
    found = [moment(str(n), 0.9, up=True, closes_s=n * 1_000) for n in range(4)]
    scored, _ = held_out([{}, {}], [found, found], block_s=1_000, purge_s=1_000)
    assert [one.fitted_on for one in scored] == [2, 1, 1, 2]


def test_one_block_leaves_nothing_to_choose_on() -> None:
    found = [moment("a", 0.9, up=True)]
    with pytest.raises(BadInput, match="one block of time"):
        held_out([{}, {}], [found, found], block_s=1_000, purge_s=0)
    assert held_out([{}], [found], block_s=1_000, purge_s=0)[1] == found


def test_with_a_book_the_mid_is_scored_too_and_ours_begins_with_it() -> None:
    received = ticks([60_000.0 + second % 7 for second in range(600)])
    tops = [Top(s * S + 1, "m", (39, 50.0), (41, 50.0)) for s in range(300, 600)]
    found = list(forecasts(Span("day", received, [market()], tops), {}, Counter()))
    assert [one.horizon_s for one in found] == list(HORIZONS_S)
    assert all(one.chances["mid"] == pytest.approx(0.4) for one in found)
    assert all(one.chances[OURS] == pytest.approx(0.4) for one in found)
    assert all(one.chances["model"] != one.chances[OURS] for one in found)


def test_the_command_tells_a_table_or_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, [60_000.0 + second % 7 for second in range(1201)])
    assert main(command, [str(tmp_path), "--resamples", "50"]) == 0
    table = capsys.readouterr().out
    assert re.search(r"240 s ours +2 +2 ", table)
    assert "4 strike_proven" in table
    given = ["--resamples", "50", "--json", "--param", "tails=normal"]
    assert main(command, [str(tmp_path), *given]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [row["horizon_s"] for row in result["horizons"]] == [*HORIZONS_S, 0]
    assert result["left_out"] == {"strike_proven": 4}
    assert result["parameters"] == {"tails": "normal"}


def test_several_folders_are_one_study(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()
        write(folder, [60_000.0 + second % 7 for second in range(1201)])
    assert studied(*folders).markets == 2 * studied(folders[0]).markets


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--param", "tails"], "write it as name=value"),
        (["--param", "tail=normal"], "there is no such parameter"),
        (["--fit", "tails=normal,student"], "one block of time"),
    ],
)
def test_a_wrong_argument_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: list[str], said: str
) -> None:
    write(tmp_path, [60_000.0 + second % 7 for second in range(1201)])
    assert main(command, [str(tmp_path), *given]) != 0
    assert said in capsys.readouterr().err


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="has no BTCUSD-prices"):
        read_spans([tmp_path])
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
    whole = studied(tmp_path)
    assert whole.undecided == ("btc-half",)
    assert whole.horizons[0].columns[0].markets == 2
    assert main(command, [str(tmp_path), "--resamples", "10"]) == 0
    assert "no winner: 1 (btc-half)" in capsys.readouterr().out


def test_arguments_out_of_range_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main(command, [str(tmp_path), "--resamples", "0"])
    assert ended.value.code == 2


@pytest.mark.long
@pytest.mark.recordings
def test_the_fair_value_beats_a_coin_and_is_no_worse_than_spot(recordings: Path) -> None:
    result = studied(recordings / "polymarket_chainlink")
    for row in result.horizons:
        columns = {column.column: column for column in row.columns}
        assert columns[OURS].markets >= 250
        assert columns["half"].brier_less_ours.low > 0
        assert columns["spot"].brier_less_ours.high > 0
    moments = result.horizons[-1].columns[0].moments
    assert sum(result.left_out.values()) + moments == (
        (result.markets - len(result.undecided)) * len(HORIZONS_S)
    )


@pytest.mark.recordings
def test_with_a_recorded_book_ours_is_no_worse_than_the_mid(recordings: Path) -> None:
    result = studied(recordings / "polymarket_btc15m_1hz")
    columns = {column.column: column for column in result.horizons[-1].columns}
    assert columns["mid"].brier_less_ours.high >= 0
    assert columns["spot"].brier_less_ours.mean > 0
