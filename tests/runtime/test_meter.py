"""The meter tells one second and begins anew."""

from engine.runtime.account_runner import Meter


def test_second_without_samples_tells_none() -> None:
    figures = Meter().take()
    assert figures["turns"] == 0
    assert figures["turn_p99_us"] is None


def test_figures_are_of_the_present_second() -> None:
    meter = Meter()
    for took in range(1, 101):
        meter.turn(took * 1_000)
    meter.events(7)
    figures = meter.take()
    assert (figures["turns"], figures["events"]) == (100, 7)
    assert figures["turn_p99_us"] == 100.0
    assert meter.take()["turns"] == 0
