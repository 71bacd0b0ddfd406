"""The blocks of a why: numbers stand in a column, sentences wrap inside their block."""

from __future__ import annotations

from engine.domain.decisions import Decision
from engine.domain.instruments import BotId, InstrumentId
from pages.shared.why import Vocabulary, decided

SAID = "limits allow 100.00 in one market: its share is of 103.16, not of 1,000.00"


def test_a_note_wraps_inside_its_block_and_is_escaped() -> None:
    decision = Decision(
        number=1, bot=BotId("cross"), instrument=InstrumentId("binance:BTC/USDT"), at_ns=1,
        regime="flat", inputs=(("mean", 3.0),), build_up=(), gates=(), outcome="quote", intent=None,
        notes=(("sizing", SAID), ("<b>", "1 < 2")),
    )  # fmt: skip
    blocks = dict(decided(decision, {"currency": "USDT"}, Vocabulary({}, {})))
    assert f"<th>sizing</th><td>{SAID}</td>" in blocks["Notes"]
    assert "<th>&lt;b&gt;</th><td>1 &lt; 2</td>" in blocks["Notes"]
    assert "pb-num" not in blocks["Notes"]
    assert "pb-num" in blocks["1 · Inputs"]
