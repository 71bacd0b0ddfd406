"""The wizard: its steps, what was typed outlives the tab, one check, half-way entries."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import streamlit as st
from msgspec.structs import replace
from streamlit.testing.v1 import AppTest

from engine.config import Config
from engine.domain.instruments import InstrumentId
from engine.domain.listings import ListingPage
from engine.domain.settings import BotSettings, Sizing, SizingMethod
from engine.errors import BadInput
from engine.strategies.registry import entries
from pages.bots.edit import traded_by
from pages.bots.wizard import SIZED_BY
from pages.kit import data, forms
from pages.shared.bot_draft import STEPS, begun, of_bot, settings_of
from storage.bot_drafts import BOT_DRAFTS, BotDraft
from storage.database import reading, writing
from storage.jobs import (
    Job,
    JobState,
    RecordingFigures,
    RecordingState,
    begin_recording,
    claim,
    end_recording,
    finish,
    note_figures,
    queue,
)
from storage.listed_markets import FILE
from storage.markets import MarketStore
from storage.runs import save_run
from storage.settings import applied, save
from tests.kit.shipped import ship
from tests.pages.bots.test_edit import MAKER, newest, press, put_beat, saved
from tests.pages.seen import figures, texts
from tests.pages.test_pages import RUN
from tests.storage.listed import made

Opened = Callable[..., AppTest]
ACCOUNT = {"name": "demo", "venue": "demo", "mode": "demo"}


@pytest.fixture
def desk(config: Config, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A home with an engine that runs, its catalog, an account and no bot; no evidence."""
    ship(monkeypatch, config.home)
    monkeypatch.setattr(data, "HEARTBEAT_AGE_NS_MAX", 3_600 * 10**9)
    saved(config, {"accounts": {"demo": ACCOUNT}})
    put_beat(config)
    with writing(config.state_path) as connection:
        applied(connection, "pitboss", 1, time.time_ns())
    return config


def kept(config: Config) -> BotDraft:
    st.cache_data.clear()
    with reading(config.state_path) as connection:
        found = BOT_DRAFTS.of(connection, "pitboss", "operator")
    assert found is not None
    return found[0]


def keep(config: Config, **fields: Any) -> None:
    """Leave a draft that may be reviewed, opened where `fields` say."""
    usual = {"account": "demo", "strategy": "market_maker", "instruments": ("demo:comet-1",)}
    with writing(config.state_path) as connection:
        draft = BotDraft(**(usual | fields))
        BOT_DRAFTS.put(connection, "pitboss", draft, who="operator", now_ns=time.time_ns())


def field(page: AppTest, kind: str, name: str) -> Any:
    return next(one for one in getattr(page, kind) if (one.key or "").startswith(name))


def at(step: str) -> int:
    return STEPS.index(step)


def sent(config: Config) -> list[str]:
    with reading(config.state_path) as connection:
        rows = connection.execute("SELECT kind, body FROM commands ORDER BY created_ns").fetchall()
    return [f"{kind} {body}" for kind, body in rows]


def test_what_was_typed_in_the_same_run_as_the_press_of_a_step_is_kept(
    opened: Opened, desk: Config
) -> None:
    keep(desk, instruments=(), step=at("Markets"))
    page = opened("bots", create="1")
    field(page, "multiselect", "wizard_series").set_value(["btc-updown-5m"])
    field(page, "segmented_control", "wizard_at").set_value(at("Parameters")).run()
    assert kept(desk).series == ("btc-updown-5m",)
    assert kept(desk).step == at("Parameters")


@pytest.mark.long
def test_the_steps_lead_from_nothing_to_a_bot_that_is_started(opened: Opened, desk: Config) -> None:
    page = opened("bots", create="1")
    assert "demo · DEMO" in field(page, "radio", "wizard_account").options[0]
    press(page, "Next")
    assert "To the review" not in [one.label for one in page.button]
    field(page, "multiselect", "wizard_series").set_value(["btc-updown-5m"]).run()
    press(page, "Next")
    assert "market_maker · NO DATA" in field(page, "selectbox", "wizard_strategy").options
    assert entries()["market_maker"].about in texts(page)
    assert "too few markets or days. It was never proven here." in texts(page)
    press(page, "Next")
    field(page, "number_input", "wizard_market_maker_0_levels").set_value(3).run()
    press(page, "Next")
    field(page, "number_input", "wizard_capital").set_value(250.0).run()
    assert "<th>Left for this bot</th><td>1,000.00 pUSD</td>" in texts(page)
    press(page, "Next")
    assert "There is no recording to play." in texts(page)
    press(page, "Next")
    assert field(page, "text_input", "wizard_name").value == "market_maker-1"
    assert "bots.market_maker-1" not in texts(page)
    shown = texts(page).partition("Bot market_maker-1 is new")[2]
    assert "<th>Capital</th><td>250</td>" in shown
    assert "DEMO: money that does not exist · amounts in pUSD" in texts(page)
    assert "<th>Quotes a side (levels)</th><td>3</td>" in shown
    folded = page.expander[-1]
    assert folded.label == "15 settings as by default"
    assert "<th>Sized by</th><td>capital</td>" in folded.children[0].proto.body
    press(page, "Create and start in DEMO")
    bot = newest(desk).document.bots["market_maker-1"]
    assert (bot.account, bot.capital, bot.series) == ("demo", 250.0, ("btc-updown-5m",))
    assert bot.parameters == {"levels": 3}
    assert traded_by(newest(desk).document, "demo") == {"btc-updown-5m": ["market_maker-1"]}
    with pytest.raises(AssertionError):
        kept(desk)
    (asked,) = sent(desk)
    assert asked.startswith("ApplySettings")
    assert '"version":2' in asked
    with writing(desk.state_path) as connection:
        applied(connection, "pitboss", 2, time.time_ns())
    st.cache_data.clear()
    page.run()
    assert sent(desk)[-1].startswith("StartBot")


def test_a_market_that_the_venue_lacks_is_refused_where_it_is_chosen(
    opened: Opened, desk: Config
) -> None:
    store = MarketStore(desk.home / FILE)
    store.begin("demo")
    listed = made(1, id=InstrumentId("demo:comet-1"), venue="demo", slug="comet-1", series="")
    store.put("demo", ListingPage((listed,), {}, ""), time.time_ns())
    store.finish("demo", time.time_ns(), complete=True)
    store.close()
    keep(desk, instruments=("demo:comet-1",), step=at("Markets"))
    assert not opened("bots", create="1").error
    keep(desk, instruments=("demo:commet-1",), step=at("Markets"))
    [said] = [one.value for one in opened("bots", create="1").error]
    assert "demo lists no market demo:commet-1; the nearest: demo:comet-1" in said


def test_a_suggested_name_follows_the_strategy_and_a_typed_one_stays(
    opened: Opened, desk: Config
) -> None:
    keep(desk, step=at("Review"))
    page = opened("bots", create="1")
    assert field(page, "text_input", "wizard_name").value == "market_maker-1"
    assert kept(desk).name == ""
    keep(desk, strategy="grid", step=at("Review"))
    page = opened("bots", create="1")
    assert field(page, "text_input", "wizard_name").value == "grid-1"
    field(page, "text_input", "wizard_name").set_value("mine").run()
    assert kept(desk).name == "mine"


@pytest.mark.long
def test_what_was_typed_outlives_the_tab(opened: Opened, desk: Config) -> None:
    page = press(opened("bots", create="1"), "Next")
    field(page, "multiselect", "wizard_markets").set_value(["demo:comet-1"]).run()
    press(page, "Next")
    press(page, "Next")
    field(page, "number_input", "wizard_market_maker_0_levels").set_value(4).run()
    again = opened("bots", create="1")
    assert field(again, "number_input", "wizard_market_maker_0_levels").value == 4
    assert kept(desk).instruments == ("demo:comet-1",)
    assert "A bot you began waits at step 4 of" in texts(opened("bots"))
    press(again, "Throw the draft away")
    assert "A bot you began" not in texts(opened("bots"))


def test_two_tabs_do_not_write_over_each_other(opened: Opened, desk: Config) -> None:
    one = press(opened("bots", create="1"), "Next")
    keep(desk, step=at("Markets"), series=("eth-updown-5m",))
    field(one, "multiselect", "wizard_markets").set_value(["demo:comet-1"]).run()
    assert "another tab changed the draft" in one.error[0].value
    press(one, "Go on with the draft as it is kept")
    assert field(one, "multiselect", "wizard_series").value == ["eth-updown-5m"]


def test_the_review_refuses_by_the_check_of_the_settings(opened: Opened, desk: Config) -> None:
    keep(desk, step=at("Review"), capital=2_000.0)
    page = opened("bots", create="1")
    assert "its equity is 1,000 pUSD" in page.error[0].value
    assert "Create, leave it stopped" not in [one.label for one in page.button]
    field(page, "text_input", "wizard_name").set_value("Not A Name").run()
    assert "Bot Not A Name, Name: String should match pattern" in page.error[0].value
    keep(desk, step=at("Review"), instruments=(), parameters={"levels": 99})
    page = opened("bots", create="1")
    said = "\n".join(one.value for one in page.error)
    assert "Choose a market, a series or a filter in step 2" in said
    assert "Quotes a side is 99: it takes (1 … 20)." in said
    assert newest(desk).version == 1


def test_a_disabled_strategy_is_refused_where_it_is_chosen_and_a_removed_one_is_not_offered(
    opened: Opened, desk: Config
) -> None:
    before = newest(desk)
    with writing(desk.state_path) as connection:
        diff = {"market_maker": {"enabled": False}, "grid": {"removed": True}}
        save(
            connection, engine_id="pitboss", who="ann", diff={"strategies": diff},
            base_version=before.version, now_ns=2,
        )  # fmt: skip
    keep(desk, step=at("Strategy"))
    page = opened("bots", create="1")
    assert "Strategy market_maker is disabled: " in texts(page)
    offered = field(page, "selectbox", "wizard_strategy").options
    assert not [one for one in offered if one.startswith("grid ")]


def test_of_a_sizing_the_fields_of_its_method_are_asked_for(opened: Opened, desk: Config) -> None:
    def asked(page: AppTest) -> list[str]:
        fields = [one.key or "" for one in page.number_input]
        return [one.removeprefix("wizard_sizing_0_") for one in fields if "sizing" in one]

    keep(desk, step=at("Sizing and limits"), sizing={"percent": 5.0})
    page = opened("bots", create="1")
    assert not asked(page)
    field(page, "selectbox", "wizard_sizing_0_method").set_value("volatility").run()
    assert asked(page) == ["volatility", "window_s"]
    field(page, "number_input", "wizard_sizing_0_volatility").set_value(30.0).run()
    assert kept(desk).sizing == {"method": "volatility", "percent": 5.0, "volatility": 30.0}
    shown = {name for one in SIZED_BY.values() for name in one}
    assert shown == set(Sizing.model_fields) - {"method"}
    assert set(SIZED_BY) == set(SizingMethod)


@pytest.fixture
def recorded(desk: Config) -> Config:
    """The desk with two recordings: one that has ended, and a newer one that goes on."""
    held = RecordingFigures(events=12, bytes=9, gaps=0, first_ns=1, last_ns=2)
    with writing(desk.state_path) as connection:
        for at_ns, name in enumerate(("ended", "going-on"), 1):
            begin_recording(
                connection,
                engine_id="pitboss",
                name=name,
                instruments=("btc-updown-5m",),
                who="operator",
                now_ns=at_ns,
            )
            note_figures(connection, "pitboss", name, held, 3)
        end_recording(
            connection,
            "pitboss",
            "ended",
            state=RecordingState.STOPPED,
            reason="asked",
            now_ns=4,
        )
    return desk


def queued(config: Config) -> tuple[int, Job]:
    """Queue and claim what the last command asks for, as engine and worker do; the run's band."""
    with writing(config.state_path) as connection:
        (body,) = connection.execute("SELECT body FROM commands").fetchone()
        given = json.loads(body)
        queue(
            connection,
            engine_id="pitboss",
            kind=given["job"],
            arguments=given["arguments"],
            who="operator",
            now_ns=time.time_ns(),
        )
        claimed = claim(connection, "pitboss", 7)
        assert claimed is not None
        runs = []
        for pnl_micro, name in ((-1, "pessimistic"), (3, "optimistic"), (2, "realistic")):
            sweep = {"id": 5, "set": name, "of": 3, "band": True}
            run = replace(
                RUN,
                parameters=json.dumps({"sweep": sweep}),
                pnl_micro=pnl_micro * 10**6,
                result='{"currency": "pUSD"}',
            )
            runs.append(save_run(connection, run, equity=[], markets=[]))
    return runs[-1], claimed


def test_a_preview_is_a_band_that_outlives_the_tab(opened: Opened, recorded: Config) -> None:
    keep(recorded, step=at("Preview"), parameters={"levels": 3})
    page = opened("bots", create="1")
    assert [one.split(" ")[0] for one in field(page, "selectbox", "wizard_data").options] == [
        "ended"
    ]
    field(page, "number_input", "wizard_cash").set_value(500.0).run()
    press(page, "Play the preview")
    played = json.loads(kept(recorded).played)
    assert played == {
        "path": "ended", "strategy": "market_maker", "parameters": {"levels": 3}, "cash": 500.0,
        "band": True,
    }  # fmt: skip
    assert "The preview: " in texts(page)
    number, claimed = queued(recorded)
    result = json.dumps({"run": number})
    with writing(recorded.state_path) as connection:
        finish(connection, "pitboss", claimed, state=JobState.DONE, now_ns=8, result=result)
    st.cache_data.clear()
    page = opened("bots", create="1")
    shown = figures(page)
    assert shown["Band of PnL"].endswith("1.00 pUSD to +3.00 pUSD")
    assert shown["Trades (fills)"] == f"{RUN.fills:,}"
    assert "Sharpe, 95 % interval" in shown
    assert "PAPER, a replay: market_maker on " in texts(page)
    assert not page.warning
    field(page, "number_input", "wizard_cash").set_value(600.0).run()
    assert "played with other inputs" in page.warning[0].value


def test_a_preview_that_failed_says_why(opened: Opened, recorded: Config) -> None:
    keep(recorded, step=at("Preview"))
    page = press(opened("bots", create="1"), "Play the preview")
    _, claimed = queued(recorded)
    with writing(recorded.state_path) as connection:
        finish(connection, "pitboss", claimed, state=JobState.FAILED, now_ns=8, error="it is torn")
    st.cache_data.clear()
    page = opened("bots", create="1")
    assert "ended as FAILED: it is torn" in page.error[0].value
    assert "Band of PnL" not in texts(page)


def test_a_preset_fills_the_parameters_in(opened: Opened, desk: Config) -> None:
    saved(desk, {"bots": {"maker": MAKER}})
    keep(desk, step=at("Parameters"), parameters={"levels": 5})
    page = opened("bots", create="1")
    choice = field(page, "selectbox", "wizard_preset")
    assert choice.options == ["The strategy's defaults", "Bot maker, DEMO"]
    choice.set_value("Bot maker, DEMO").run()
    assert kept(desk).parameters == {"levels": 2}
    assert field(page, "number_input", "wizard_market_maker_1_levels").value == 2


@pytest.mark.long
def test_a_duplicate_begins_with_all_but_the_name(opened: Opened, desk: Config) -> None:
    saved(desk, {"bots": {"maker": MAKER | {"priority": 3}}})
    page = press(opened("bots", bot="maker"), "Duplicate…")
    assert field(page, "number_input", "wizard_market_maker_0_levels").value == 2
    press(page, "To the review")
    press(page, "Create, leave it stopped")
    document = newest(desk).document
    copy = document.bots["market_maker-1"]
    assert copy.model_copy(update={"name": "maker"}) == document.bots["maker"]


def test_a_backtest_is_entered_with_its_strategy_and_parameters(
    opened: Opened, desk: Config
) -> None:
    stated = json.dumps({"parameters": {"levels": "2", "size_shares": "7.5"}})
    with writing(desk.state_path) as connection:
        number = save_run(connection, replace(RUN, parameters=stated), equity=[], markets=[])
    page = opened("bots", create="1", run=str(number))
    assert "← All bots" in texts(page)
    draft = kept(desk)
    assert (draft.strategy, draft.step) == ("market_maker", at("Markets"))
    assert draft.parameters == {"levels": 2, "size_shares": 7.5}


def test_a_draft_that_waits_is_not_replaced_unasked(opened: Opened, desk: Config) -> None:
    saved(desk, {"bots": {"maker": MAKER}})
    keep(desk, step=at("Markets"))
    page = opened("bots", create="1", copy="maker")
    assert "throws it away" in texts(page)
    press(page, "Go on with the one that waits")
    assert kept(desk).origin == ""
    page = press(opened("bots", create="1", copy="maker"), "Begin with a copy of maker")
    assert kept(desk).origin == "a copy of maker"


def test_settings_of_a_copied_bot_are_the_bots() -> None:
    bot = BotSettings(
        name="a", strategy="grid", account="demo", capital=5.0, series=("s",), priority=-2,
        sizing={"method": "fixed", "amount": 3.0}, inventory_on_stop="exit",
    )  # fmt: skip
    made = settings_of(replace(of_bot(bot), name="a"))
    assert BotSettings.model_validate(made) == bot
    assert begun(of_bot(bot))
    assert not begun(BotDraft(account="demo", strategy="grid", step=3, turn=2))


def test_a_draft_is_written_over_only_by_who_saw_it(desk: Config) -> None:
    with writing(desk.state_path) as connection:
        first = BOT_DRAFTS.put(
            connection, "pitboss", BotDraft(name="a"), who="ann", now_ns=5, seen_ns=0
        )
        with pytest.raises(BadInput, match="another tab"):
            BOT_DRAFTS.put(
                connection, "pitboss", BotDraft(name="b"), who="ann", now_ns=6, seen_ns=0
            )
        BOT_DRAFTS.put(connection, "pitboss", BotDraft(name="c"), who="bob", now_ns=6, seen_ns=0)
        assert BOT_DRAFTS.of(connection, "pitboss", "ann") == (BotDraft(name="a"), first)
        BOT_DRAFTS.drop(connection, "pitboss", "ann")
        assert BOT_DRAFTS.of(connection, "pitboss", "ann") is None
        connection.execute('UPDATE bot_drafts SET body = \'{"step": "x"}\'')
        with pytest.raises(BadInput, match="throw it away"):
            BOT_DRAFTS.of(connection, "pitboss", "bob")


@pytest.mark.parametrize(
    ("field_of", "text", "value"),
    [
        ({"type": "integer"}, "3", 3),
        ({"type": "number"}, "0.5", 0.5),
        ({"type": "boolean"}, "True", True),
        ({"anyOf": [{"type": "number"}, {"type": "null"}]}, "None", None),
        ({"type": "string"}, "5m", "5m"),
        ({"type": "integer"}, "many", "many"),
    ],
)
def test_a_kept_text_is_read_by_its_type(
    field_of: Mapping[str, object], text: str, value: object
) -> None:
    assert forms.typed({"properties": {"a": field_of}}, {"a": text}) == {"a": value}
