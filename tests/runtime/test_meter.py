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


def test_all_turns_since_the_start_are_one_pool_whose_longest_is_exact() -> None:
    meter = Meter()
    for second in range(10):
        for _ in range(100):
            meter.turn(1_000_000 if second else 200_000)
        meter.take()
    meter.turn(7_000_000)
    figures = meter.take()
    assert figures["turns_measured"] == 1_001
    assert 1_000 <= figures["turn_p99_us_all"] <= 1_063
    assert figures["turn_us_max"] == 7_000
    assert figures["turn_p99_us"] == 7_000
