"""The meter tells one second and begins anew."""

from engine.runtime.account_runner import Meter

MS = 1_000_000
NOW = 10**18


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


def test_answers_are_those_of_the_last_minute() -> None:
    meter = Meter()
    assert meter.answered(NOW) == {"answers": 0, "answer_ms_median": None, "answer_ms_max": None}
    for second, took_ms in enumerate((900, 5, 7, 6)):
        meter.answer(took_ms * MS, NOW + second * 1_000 * MS)
    figures = meter.answered(NOW + 3_000 * MS)
    assert figures == {"answers": 4, "answer_ms_median": 7.0, "answer_ms_max": 900.0}
    figures = meter.answered(NOW + 60_000 * MS)
    assert figures == {"answers": 3, "answer_ms_median": 6.0, "answer_ms_max": 7.0}
    assert meter.answered(NOW)["answers"] == 0, "those of a clock before it went back"
