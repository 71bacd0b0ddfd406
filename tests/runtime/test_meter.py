"""The meter tells one second and begins anew."""

from engine.runtime.account_runner import Meter


def test_second_without_samples_tells_none() -> None:
    told = Meter().take()
    assert told["turns"] == 0
    assert told["turn_p99_us"] is None


def test_figures_are_of_the_present_second() -> None:
    meter = Meter()
    for took in range(1, 101):
        meter.turn(took * 1_000)
    meter.events(7)
    told = meter.take()
    assert (told["turns"], told["events"]) == (100, 7)
    assert told["turn_p99_us"] == 100.0
    assert meter.take()["turns"] == 0
