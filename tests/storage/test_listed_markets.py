"""Markets that a bot newly names: refused where its venue lists none such, else said."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.domain.instruments import InstrumentId
from engine.domain.listings import ListingPage
from engine.domain.settings import SettingsDocument
from engine.errors import BadInput
from storage.database import reading, writing
from storage.listed_markets import FILE, LIST_NS_MAX, MarketsJudged, markets_judged
from storage.markets import MarketStore
from storage.schema import migrate
from storage.settings import Saved, edit_refusal, save
from tests.storage.listed import made

NOW = 1_795_000_000_000_000_000
MINUTE = 60 * 10**9
NAMES = {"demo:comet-visible-1": "", "demo:BTC-pUSD": "", "demo:btc-updown-5m-17": "btc-updown-5m"}
MARKETS = [
    made(i, id=InstrumentId(name), venue="demo", slug=name[5:], series=series)
    for i, (name, series) in enumerate(NAMES.items())
]
NUMBERED = made(1, slug="will-it-rain-in-may")
ACCOUNTS = {
    name: {"name": name, "venue": venue, "mode": "paper"}
    for name, venue in (("p", "demo"), ("q", "polymarket"), ("r", "kraken"))
}


def document(account: str = "p", **bot: object) -> SettingsDocument:
    given = {"name": "b", "strategy": "grid", "account": account, "capital": 1, **bot}
    return SettingsDocument.model_validate({"accounts": ACCOUNTS, "bots": {"b": given}})


NONE = SettingsDocument.model_validate({"accounts": ACCOUNTS})


@pytest.fixture
def home(tmp_path: Path) -> Path:
    migrate(tmp_path / "pitboss.db")
    return tmp_path


def fetched(home: Path, *, finished_ns: int | None = NOW - 5 * MINUTE) -> None:
    store = MarketStore(home / FILE)
    for venue, markets in (("demo", MARKETS), ("polymarket", [NUMBERED])):
        store.begin(venue)
        store.put(venue, ListingPage(tuple(markets), {}, ""), NOW)
        if finished_ns is not None:
            store.finish(venue, finished_ns, complete=True)
    store.close()


def judged(home: Path, after: SettingsDocument, before: SettingsDocument = NONE) -> MarketsJudged:
    with reading(home / "pitboss.db") as connection:
        return markets_judged(connection, "pitboss", before, after, NOW)


def test_a_market_its_venue_does_not_list_is_refused_with_the_nearest_names(home: Path) -> None:
    fetched(home)
    wrong = judged(home, document(instruments=["demo:BTC-pUSD", "demo:commet-visible-1"]))
    assert wrong.refusal.startswith(
        "bot b: demo lists no market demo:commet-visible-1; the nearest: demo:comet-visible-1 (its "
        "list is 5 min old: "
    )
    assert judged(home, document(instruments=[*NAMES])) == MarketsJudged()
    assert "none is alike" in judged(home, document(instruments=["demo:zzzz"])).refusal


def test_where_ids_are_numbers_the_nearest_is_found_by_its_slug(home: Path) -> None:
    fetched(home)
    wrong = judged(home, document("q", instruments=["polymarket:will-it-rain-in-may"]))
    assert f"the nearest: {NUMBERED.id} (will-it-rain-in-may)" in wrong.refusal
    assert judged(home, document("q", instruments=[NUMBERED.id])) == MarketsJudged()


def test_a_series_is_known_by_itself_or_by_its_windows(home: Path) -> None:
    fetched(home)
    assert judged(home, document(series=["btc-updown-5m"])) == MarketsJudged()
    wrong = judged(home, document(series=["btc-updwn-5m"])).refusal
    assert "demo lists no series btc-updwn-5m; the nearest: btc-updown-5m" in wrong


def test_what_a_feed_listed_is_known_without_a_list(home: Path) -> None:
    fetched(home)
    with writing(home / "pitboss.db") as connection:
        connection.execute(
            "INSERT INTO instruments (engine_id, id, kind, currency, price_decimals, "
            "size_decimals, tick, lot, market, series, body, updated_ns) VALUES "
            "('pitboss', 'demo:new', 'spot', 'pUSD', 2, 2, 1, 1, '', 'new-5m', '{}', 1)"
        )
    assert judged(home, document(instruments=["demo:new"], series=["new-5m"])) == MarketsJudged()


def test_without_a_list_of_the_last_day_it_is_accepted_and_said(home: Path) -> None:
    wanted = document(instruments=["demo:commet"])
    said = MarketsJudged(
        note="not known yet: market demo:commet; no list of the markets of demo was fetched in the "
        "last day"
    )
    assert judged(home, wanted) == said
    fetched(home, finished_ns=None)
    assert judged(home, wanted) == said, "a list under way"
    fetched(home, finished_ns=NOW - LIST_NS_MAX - 1)
    assert judged(home, wanted) == said
    fetched(home)
    assert "no list of the markets of kraken" in judged(home, document("r", series=["s"])).note
    (home / FILE).write_bytes(b"no database" * 100)
    assert judged(home, wanted) == said


def test_what_stands_already_is_not_judged_but_what_moves_to_another_venue_is(home: Path) -> None:
    fetched(home)
    before = document(instruments=["demo:gone"])
    assert judged(home, document(instruments=["demo:gone"], capital=2), before) == MarketsJudged()
    moved = judged(home, document("q", instruments=["demo:gone"]), before)
    assert "polymarket lists no market demo:gone" in moved.refusal


def test_a_save_asks_and_keeps_what_is_not_known_as_its_note(home: Path) -> None:
    wanted = document(instruments=["demo:commet"])
    diff = wanted.model_dump(mode="json", include={"accounts", "bots"})

    def saved() -> object:
        with writing(home / "pitboss.db") as connection:
            return save(
                connection, engine_id="pitboss", who="a", diff=diff, base_version=0, now_ns=NOW
            )

    fetched(home)
    with pytest.raises(BadInput, match="demo lists no market demo:commet"):
        saved()
    with reading(home / "pitboss.db") as connection:
        assert "demo:commet" in edit_refusal(
            connection, "pitboss", before=NONE, after=wanted, now_ns=NOW
        )
    (home / FILE).unlink()
    made = saved()
    assert isinstance(made, Saved)
    assert made.note.startswith("not known yet: market demo:commet")


def asked_for(instrument: str, account: str = "") -> dict[str, object]:
    price = {"instrument": instrument, "account": account, "above": 0.5}
    return {"alerts": {"prices": {"rain": price}}}


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (asked_for("demo:commet-visible-1"), "demo lists no market demo:commet-visible-1; the "
         "nearest: demo:comet-visible-1"),
        (asked_for("rain"), "names no venue: write VENUE:MARKET"),
        (asked_for("demo:comet-visible-1", "nosuch"), "no account 'nosuch'; there are: p, q, r"),
    ],
)  # fmt: skip
def test_a_price_alert_that_can_never_come_true_is_not_saved(
    home: Path, wrong: dict[str, object], why: str
) -> None:
    fetched(home)
    with writing(home / "pitboss.db") as connection:
        given = {"engine_id": "pitboss", "who": "t", "now_ns": NOW}
        save(connection, diff={"accounts": ACCOUNTS}, base_version=0, **given)  # type: ignore[arg-type]
        with pytest.raises(BadInput, match="price alert rain: ") as refused:
            save(connection, diff=wrong, base_version=1, **given)  # type: ignore[arg-type]
        assert why in str(refused.value)
        for right in (asked_for("demo:comet-visible-1", "p"), asked_for("kraken:XBT-USD")):
            base = int(connection.execute("SELECT max(version) FROM settings").fetchone()[0])
            assert isinstance(save(connection, diff=right, base_version=base, **given), Saved)  # type: ignore[arg-type]
