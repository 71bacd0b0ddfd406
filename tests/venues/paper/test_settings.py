import pytest
from pydantic import ValidationError

from engine.venues.paper.settings import CANCELS_AHEAD_PERCENT, FillModel, PaperSettings


def test_the_defaults_are_those_of_the_house() -> None:
    usual = PaperSettings()
    assert (usual.order_latency_ms, usual.cancel_latency_ms, usual.feed_latency_ms) == (150, 150, 0)
    assert (usual.taker_delay_ms, usual.settle_delay_ms) == (0, 2_000)
    assert usual.model is FillModel.REALISTIC
    assert usual.cancels_ahead_percent == CANCELS_AHEAD_PERCENT == 54


def test_each_model_is_a_share_of_the_cancels_ahead() -> None:
    shares = [PaperSettings(model=model).ahead_percent for model in FillModel]
    assert shares == [0, CANCELS_AHEAD_PERCENT, 100]
    assert PaperSettings(cancels_ahead_percent=60).ahead_percent == 60
    assert PaperSettings(cancels_ahead_percent=60, model=FillModel.PESSIMISTIC).ahead_percent == 0


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
        {"cancels_ahead_percent": 101},
    ],
    ids=str,
)
def test_nonsense_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PaperSettings.model_validate(bad)
