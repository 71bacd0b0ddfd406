import pytest
from pydantic import ValidationError

from engine.venues.paper.settings import FillModel, PaperSettings


def test_the_defaults_are_those_of_the_house() -> None:
    usual = PaperSettings()
    assert (usual.order_latency_ms, usual.cancel_latency_ms, usual.feed_latency_ms) == (150, 150, 0)
    assert (usual.taker_delay_ms, usual.settle_delay_ms) == (0, 2_000)
    assert usual.model is FillModel.REALISTIC


def test_cash_becomes_micro_units() -> None:
    assert PaperSettings(starting_cash={"USD": 0.1}).starting_micro() == {"USD": 100_000}


@pytest.mark.parametrize(
    "bad",
    [
        {"order_latency_ms": -1},
        {"settle_delay_ms": 60_001},
        {"starting_cash": {"USD": -1}},
        {"starting_cash": {"USD": float("nan")}},
        {"model": "hopeful"},
        {"latency": 1},
    ],
    ids=str,
)
def test_nonsense_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PaperSettings.model_validate(bad)
