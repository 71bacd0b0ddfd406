"""A note and tags on a backtest: written on its page, found by tag, shown beside others."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from engine.config import Config
from storage.database import reading, writing
from storage.run_notes import note_of, put_note
from tests.pages.runs.test_beside import stored
from tests.pages.seen import bodies

Opened = Callable[..., AppTest]

HOSTILE = "<script>alert(1)</script> **loud**"


@pytest.mark.long
def test_a_note_is_written_found_by_its_tag_and_shown_escaped(
    opened: Opened, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, other = stored(config, 1, 500_000), stored(config, 2, -500_000)
    files: dict[str, object] = {}
    real = st.download_button

    def taken(label: str, data: object, *given: object, **named: object) -> bool:
        files[label] = data
        return bool(real(label, data, *given, **named))  # type: ignore[arg-type]

    monkeypatch.setattr(st, "download_button", taken)
    page = opened("runs", run=str(number), state={"who": "ann", "fold_run_note": True})
    page.text_area[0].set_value(HOSTILE)
    page.text_input[0].set_value("Wide, v2 <b>")
    page.button[0].click().run()
    assert "is no tag" in page.error[0].value
    page.text_input[0].set_value("Wide, v2")
    page.button[0].click().run()
    assert not page.exception
    with reading(config.state_path) as connection:
        left = note_of(connection, number)
    assert (left.text, left.tags) == (HOSTILE, ("wide", "v2"))
    assert escape(HOSTILE) in bodies(page)
    assert "<script" not in bodies(page)

    page = opened("runs")
    assert page.dataframe[0].value["tags"].tolist() == ["", "wide v2"]
    page.selectbox(key="runs_tag").set_value("wide").run()
    assert page.dataframe[0].value["id"].tolist() == [number]

    page = opened("runs", compare=f"{number},{other}")
    assert "<script" not in bodies(page)
    assert escape(HOSTILE) in bodies(page)
    page = opened("runs", run=str(number), state={"fold_run_export": True})
    for label in ("Comparison as HTML", "Report as HTML"):
        text = files[label]
        text = text.decode() if isinstance(text, bytes) else str(text)
        assert escape(HOSTILE) in text
        assert "<script" not in text


def test_a_note_that_another_person_wrote_meanwhile_stays(opened: Opened, config: Config) -> None:
    number = stored(config, 1, 500_000)
    page = opened("runs", run=str(number), state={"who": "ann", "fold_run_note": True})
    with writing(config.state_path) as connection:
        put_note(connection, number, text="mine", tags=(), who="bob", now_ns=1)
    page.text_area[0].set_value("hers")
    page.button[0].click().run()
    with reading(config.state_path) as connection:
        assert note_of(connection, number).text == "mine"
