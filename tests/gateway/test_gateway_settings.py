import pytest
from pydantic import ValidationError

from engine.gateway.core import GatewaySettings


def test_defaults_stay_below_polymarkets_standard_tier():
    settings = GatewaySettings()
    assert (settings.places_per_s, settings.places_burst) < (40, 60)
    assert (settings.cancels_per_s, settings.cancels_burst) < (80, 120)
    assert settings.cancel_batch_max <= settings.cancels_burst


@pytest.mark.parametrize(
    "wrong",
    [
        {"places_in_flight_max": 0},
        {"places_per_s": 0},
        {"cancels_burst": 0},
        {"safety_in_flight_max": 1},  # questions would leave no slot to cancels
        {"queue_max": 0},
        {"place_timeout_ms": 0},
        {"place_per_s": 5},
    ],
)
def test_a_setting_that_would_stand_still_or_is_unknown_is_refused(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        GatewaySettings(**wrong)
