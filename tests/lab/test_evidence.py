"""The proof: strategies over data that is made for it, through the whole engine."""

from __future__ import annotations

import math
import random
from contextlib import closing
from pathlib import Path
from statistics import fmean

import pytest
from msgspec.structs import replace

from engine.__main__ import main
from engine.code_digest import code_digest
from engine.config import Config
from engine.domain.evidence import Edge, EvidenceRow, judged, missing, verdict_of
from engine.domain.instruments import Kind
from engine.domain.jobs.prove import ProveJob
from engine.errors import BadInput
from engine.jobs.run import works
from engine.lab import evidence as evidence_module
from engine.lab.evidence import CAPITAL, DataSet, block_interval, data_here, lacks, prove
from engine.lab.formats.importing import ImportRequest, import_files
from engine.lab.recordings.bar_files import BarRecording
from engine.lab.replay.bar_lane import BarLane, TakenBars
from engine.strategies.door import Context, Evaluation
from engine.strategies.one_of_arbitrage import OneOfArbitrage
from engine.strategies.registry import STRATEGIES
from storage.database import connect_reader
from storage.evidence import evidence, shipped_evidence
from storage.schema import migrate
from storage.users import ENGINE_ID
from tests.domain.test_evidence import EARNS
from tests.jobs.test_kinds import context
from tests.kit.shipped import ship
from tests.lab.recordings.test_pair import PAIR, recorded

T0 = 1_700_006_400
"""A midnight, so that days of the file are days of the calendar."""
HOUR = 3_600
DAYS = 12
NOW = 1_800_000_000 * 10**9


def market(folder: Path, drift: float, name: str = "BTC-USDT.csv", hours: int = 24 * DAYS) -> Path:
    """Write hourly bars of a seeded market that drifts by so much a day."""
    chance, price, lines = random.Random(7), 100.0, ["time,open,high,low,close,volume"]
    for hour in range(hours):
        opened = price
        price *= 1 + drift / 24 + chance.gauss(0, 0.0005)
        high, low = max(opened, price), min(opened, price)
        row = ",".join(f"{one:.2f}" for one in (opened, high, low, price))
        lines.append(f"{T0 + HOUR * hour},{row},100000")
    path = folder / name
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def quiet(done: int, total: int, note: str) -> None:
    """Show nothing."""


def proven(home: Path, strategy: str, path: Path, now_ns: int = NOW) -> EvidenceRow:
    config = Config(home=home)
    data, _ = data_here(config, [str(path)])
    (row,) = prove(config, [strategy], data, now_ns, lambda *_: None)
    return row


def test_a_buyer_loses_in_a_falling_market_and_beats_nobody_who_holds_in_a_rising_one(
    tmp_path: Path,
) -> None:
    falling = proven(tmp_path, "dca", market(tmp_path, -0.02, "falling.csv"))
    rising = proven(tmp_path, "dca", market(tmp_path, 0.02, "rising.csv"))
    assert verdict_of(falling)[0] is Edge.LOSES
    verdict, why = verdict_of(rising)
    assert verdict is Edge.HARMLESS, "it was long in a market that rose"
    assert "no gain over holding" in why
    assert rising.low is not None
    assert rising.excess_high is not None
    assert rising.low > 0 > rising.excess_high, "it bought later than who holds"
    assert (rising.per, rising.settings, rising.latency_ms) == ("day", "bars=1h", 150)
    assert rising.count <= rising.seen == DAYS
    assert rising.fees > 0
    assert rising.mean_10 == pytest.approx(10 * rising.mean, rel=0.05), "a deep market"
    with closing(connect_reader(tmp_path / "pitboss.db")) as connection:
        kept = evidence(connection, ENGINE_ID)
    assert kept == [falling, rising]
    digest = code_digest(STRATEGIES["dca"])
    assert judged(kept, digest)[0] is Edge.LOSES


def test_holding_is_worth_its_last_close_by_its_first_open_and_each_day_has_its_excess(
    tmp_path: Path,
) -> None:
    path = market(tmp_path, 0.02)
    row = proven(tmp_path, "dca", path)
    bars = [line.split(",") for line in path.read_text("utf-8").splitlines()[1:]]
    gain = 1_000 * (float(bars[-1][4]) / float(bars[0][1]) - 1)
    assert row.hold == pytest.approx(gain / DAYS)
    assert row.mean is not None
    assert row.excess == pytest.approx((row.mean * row.count - gain) / DAYS)


def test_bars_that_were_imported_as_a_perpetual_are_evidence_of_one(tmp_path: Path) -> None:
    path = market(tmp_path, 0.01, hours=48)
    asked = ImportRequest(files=(path,), instrument="binance:BTC/USDT:USDT", name="swap")
    import_files(asked, tmp_path / "data", 1, lambda *_: None)
    row = proven(tmp_path, "dca", tmp_path / "data/swap")
    assert (row.product, row.currency, row.quoted) == (Kind.PERPETUAL, "USDT", False)
    assert row.hold is not None
    assert row.funding is None
    assert "funding, which its data does not say" in missing(row)
    assert "funding, which its data does not say" not in missing(replace(row, funding=-1.5))
    spot = proven(tmp_path, "dca", path)
    assert spot.product == Kind.SPOT
    assert "funding, which its data does not say" not in missing(spot)


def test_a_recording_of_a_pair_is_evidence_in_its_currency(tmp_path: Path) -> None:
    path = recorded(tmp_path / "day", replace(PAIR, currency="USDC"))
    row = proven(tmp_path, "grid", path)
    assert (row.product, row.currency, row.quoted) == (Kind.SPOT, "USDC", True)


@pytest.mark.long
def test_bars_that_pass_without_a_decision_said_are_evidence_as_all_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = market(tmp_path, 0.01)
    quick = proven(tmp_path / "quick", "sma_cross", path)
    monkeypatch.setattr(
        BarLane, "take", lambda _, bars, at, __: TakenBars(1, bars.made(at).events())
    )
    assert proven(tmp_path / "whole", "sma_cross", path) == quick
    assert quick.asked > 24 * DAYS - 31, "every hour but those at first"


def test_what_never_could_trade_in_the_data_is_no_data_and_not_harmless(tmp_path: Path) -> None:
    path = market(tmp_path, 0.0, hours=4)
    config, names = Config(home=tmp_path), ["contrarian", "late_favourite", "market_maker", "pairs"]
    names += ["one_of_arbitrage", "signal", "value"]
    for row in prove(config, names, data_here(config, [str(path)])[0], NOW, lambda *_: None):
        verdict, why = verdict_of(row)
        assert verdict is Edge.NO_DATA, row.strategy
        assert why == "it never had all it needs to decide, in 1 day", row.strategy


def test_rules_stand_since_their_first_proof_and_a_proof_replaces_the_one_before(
    tmp_path: Path,
) -> None:
    path = market(tmp_path, 0.02)
    first = proven(tmp_path, "dca", path)
    again = proven(tmp_path, "dca", path, NOW + 5)
    assert (first.rules_ns, again.rules_ns, again.proved_ns) == (NOW, NOW, NOW + 5)
    with closing(connect_reader(tmp_path / "pitboss.db")) as connection:
        assert evidence(connection, ENGINE_ID, "dca") == [again]
        assert evidence(connection, ENGINE_ID, "grid") == []


def test_the_interval_is_that_of_a_naive_block_bootstrap() -> None:
    chance = random.Random(3)
    values = [chance.gauss(0.4, 1.0) for _ in range(64)]
    found = block_interval(values, trials=1)
    means = []
    for _ in range(4_000):
        drawn: list[float] = []
        while len(drawn) < 64:
            start = chance.randrange(64)
            drawn += [values[(start + step) % 64] for step in range(4)]
        means.append(fmean(drawn[:64]))
    means.sort()
    assert found is not None
    assert found.low == pytest.approx(means[100], abs=0.02)
    assert found.high == pytest.approx(means[-101], abs=0.02)
    assert found.low_corrected == found.low
    many = block_interval(values, trials=20)
    assert many is not None
    assert many.low_corrected < found.low
    assert block_interval([1.0], trials=1) is None


def test_what_lies_here_is_found_and_what_cannot_be_played_is_named(tmp_path: Path) -> None:
    config = Config(home=tmp_path / "home", data=tmp_path / "data")
    assert data_here(config) == ([], [])
    (tmp_path / "data" / "klines").mkdir(parents=True)
    market(tmp_path / "data" / "klines", 0.0)
    (tmp_path / "data" / "notes.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    found, left = data_here(config)
    assert [(one.name, one.bars) for one in found] == [("BTC-USDT.csv", True)]
    assert any("notes.csv" in one for one in left)
    with pytest.raises(BadInput, match="there is no such file"):
        data_here(config, ["/nowhere"])


def linked(folder: Path, name: str, days: int, apart: float, seed: int) -> Path:
    """Write hourly bars of a walk that every such file shares, times what comes back to its mean.

    `apart` = how far the latter moves in an hour.
    """
    shared, own = random.Random(1), random.Random(seed)
    walk = away = 0.0
    lines, before = ["time,open,high,low,close,volume"], 100.0
    for hour in range(24 * days):
        walk += shared.gauss(0, 0.002)
        away += -0.2 * away + own.gauss(0, apart)
        price = 100.0 * math.exp(walk + away)
        row = (before, max(before, price), min(before, price), price)
        lines.append(f"{T0 + HOUR * hour},{','.join(f'{one:.2f}' for one in row)},100000")
        before = round(price, 2)
    path = folder / name
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.mark.long
def test_pairs_are_proven_over_two_files_played_at_the_same_time(tmp_path: Path) -> None:
    days = 13
    first = linked(tmp_path, "A.csv", days, 0.004, 2)
    second = linked(tmp_path, "B.csv", days, 0.004, 3)
    config = Config(home=tmp_path / "home")
    together = f"{first} + {second}"
    (data,), left = data_here(config, [together])
    spot = DataSet("A.csv + B.csv", (first, second), bars=True, kind=Kind.SPOT, currency="USD")
    assert (data, left) == (spot, [])
    row, holder = prove(config, ["pairs", "rebalance"], [data], NOW, quiet)
    assert (row.per, row.seen, row.settings) == ("day", days, "")
    assert row.asked > 0
    assert row.fills > 0
    assert row.began_ns == T0 * 10**9
    ends = [BarRecording(path).held(None, None) for path in (first, second)]
    brought = sum(CAPITAL / 2 * (closes[-1] / closes[0] - 1) for closes in ends)
    assert row.hold == pytest.approx(brought / days, abs=1e-9)
    assert holder.excess is not None
    assert abs(holder.excess) < 0.6, "one half in each from the start is what holding is"
    ((alone),) = prove(config, ["pairs"], data_here(config, [str(first)])[0], NOW, quiet)
    assert (alone.asked, verdict_of(alone)[0]) == (0, Edge.NO_DATA)


def test_what_does_not_go_together_is_refused_with_both_names(tmp_path: Path) -> None:
    config = Config(home=tmp_path / "home")
    hours = market(tmp_path, 0.0, "A.csv", hours=30)
    minutes = tmp_path / "B.csv"
    minutes.write_text(hours.read_text().replace(f"{T0 + HOUR},", f"{T0 + 60},"), encoding="utf-8")
    with pytest.raises(BadInput, match="file:B has bars of 1m in USD, file:A of 1h in USD"):
        data_here(config, [f"{hours} + {minutes}"])
    with pytest.raises(BadInput, match="file:A is there twice"):
        data_here(config, [f"{hours} + {hours}"])
    with pytest.raises(BadInput, match=r"C\.csv: there is no such file"):
        data_here(config, [f"{hours} + {tmp_path / 'C.csv'}"])


def test_the_job_proves_and_says_what_is_missing(tmp_path: Path) -> None:
    config = Config(home=tmp_path)
    migrate(config.state_path)
    asked = context(config, "prove")
    with pytest.raises(BadInput, match="there is no data here"):
        works()["prove"](ProveJob(), asked)
    path = market(tmp_path, -0.02)
    result = works()["prove"](ProveJob(strategy="dca", path=str(path)), asked)
    assert result["verdicts"] == {"dca · BTC-USDT.csv": "loses"}
    with pytest.raises(BadInput, match="there is no strategy 'none'"):
        works()["prove"](ProveJob(strategy="none", path=str(path)), asked)


@pytest.mark.long
def test_the_command_prints_one_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PITBOSS_HOME", str(tmp_path))
    path = market(tmp_path, -0.02)
    assert main(["strategies", "prove", "dca", "--data", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| strategy | data | verdict | why |"
    assert lines[2].startswith("| `dca` | BTC-USDT.csv | loses | -")
    beside = ["strategies", "prove", "dca", "grid", "--data", str(path), "--beside"]
    assert main(beside) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| strategy | BTC-USDT.csv |"
    assert [line.split(" | ")[0] for line in lines[2:4]] == ["| `dca`", "| `grid`"]
    assert "; holding -" in lines[2]


def test_the_command_ships_what_it_computed_with_the_hash_of_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PITBOSS_HOME", str(tmp_path / "home"))
    path = market(tmp_path, -0.02)
    ship(monkeypatch, tmp_path, replace(EARNS, strategy="grid"))
    prove_dca = ["strategies", "prove", "dca", "--data", str(path), "--ship"]
    assert main(prove_dca) == 0
    assert "shipped.json" in capsys.readouterr().err
    (row,) = shipped_evidence("dca")
    assert [one.strategy for one in shipped_evidence()] == ["dca", "grid"]
    assert row.digest == code_digest(STRATEGIES["dca"])
    assert row.data_hash == DataSet("any", (path,), bars=True).hash
    assert verdict_of(row)[0] is Edge.LOSES
    path.write_text(path.read_text() + "\n", encoding="utf-8")
    assert DataSet("any", (path,), bars=True).hash != row.data_hash
    assert main(["strategies", "prove", "mine", "--data", str(path), "--ship"]) != 0
    assert "mine: the program brings evidence of its own alone" in capsys.readouterr().err


def test_what_lacks_all_it_needs_is_asked_at_bars_and_not_at_each_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    evaluate = OneOfArbitrage.evaluate

    def counted(self: OneOfArbitrage, context: Context, now_ns: int) -> Evaluation:
        asked.append(now_ns)
        return evaluate(self, context, now_ns)

    monkeypatch.setattr(OneOfArbitrage, "evaluate", counted)
    monkeypatch.setattr(evidence_module, "lacks", lambda *_: "")
    row = proven(tmp_path, "one_of_arbitrage", market(tmp_path, 0.0, hours=4))
    assert verdict_of(row)[0] is Edge.NO_DATA
    assert 2 * 4 <= len(asked) <= 2 * 4 * 5, "two sizes, four bars of five events"


def test_what_data_cannot_have_is_not_played_and_gives_the_row_of_having_been_played(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Config(home=tmp_path)
    data, _ = data_here(config, [str(market(tmp_path, 0.01, hours=72))])
    names = sorted(name for name, kind in STRATEGIES.items() if hasattr(kind, "needs"))
    idle = [
        name for name in names if lacks(name, data[0], evidence_module._opened(config, data[0]))
    ]
    assert {"signal", "pairs", "basis", "one_of_arbitrage", "triangular"} <= set(idle)
    spared = prove(config, idle, data, NOW, quiet)
    monkeypatch.setattr(evidence_module, "lacks", lambda *_: "")
    played = prove(config, idle, data, NOW, quiet)
    assert [replace(one, settings="") for one in played] == [
        replace(one, settings="") for one in spared
    ]
    assert all("never had all it needs" in verdict_of(one)[1] for one in spared)


def test_a_tape_may_hold_anything_and_is_played(tmp_path: Path) -> None:
    path = recorded(tmp_path / "day", replace(PAIR, currency="USDC"))
    config = Config(home=tmp_path)
    data, _ = data_here(config, [str(path)])
    assert lacks("basis", data[0], evidence_module._opened(config, data[0])) == ""
