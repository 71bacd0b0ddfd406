from __future__ import annotations

from random import Random

import pytest

from engine.indicators.lead import SAMPLES_MIN, LeadRegression, LeadTracker

S = 1_000_000_000


def regressed(slope: float, noise: float, samples: int = 400) -> LeadRegression:
    found, random = LeadRegression(), Random(1)
    for _ in range(samples):
        news = random.gauss(0, 0.01)
        found.take(news, slope * news + random.gauss(0, noise))
    return found


def test_what_the_mid_makes_of_news_is_found_with_its_error() -> None:
    found = regressed(0.6, 0.002)
    assert found.error is not None
    assert abs(found.b - 0.6) < 4 * found.error
    assert found.error == pytest.approx(0.002 / (0.01 * 400**0.5), rel=0.2)
    assert found.used == found.b


@pytest.mark.parametrize(("slope", "noise"), [(0.0, 0.01), (-0.5, 0.002)])
def test_news_the_mid_does_not_follow_counts_nothing(slope: float, noise: float) -> None:
    assert regressed(slope, noise).used == 0.0


def test_b_never_counts_more_than_the_news_itself() -> None:
    assert regressed(1.7, 0.001).used == 1.0


def test_few_samples_prove_nothing() -> None:
    assert regressed(0.6, 0.0001, SAMPLES_MIN - 1).used == 0.0
    assert LeadRegression().error is None


def test_the_model_of_a_lead_ago_is_what_the_mid_knows() -> None:
    tracker, learned = LeadTracker(2 * S), LeadRegression()
    told = [tracker.look(0.5 + second / 100, 0.5, second * S, learned) for second in range(5)]
    assert told[:2] == [None, None]
    assert told[2:] == pytest.approx([0.50, 0.51, 0.52])


def test_a_mid_that_follows_the_model_teaches_its_share() -> None:
    tracker, learned, random = LeadTracker(2 * S), LeadRegression(), Random(2)
    models = [0.5]
    for _ in range(2_000):
        models.append(models[-1] + random.gauss(0, 0.002))
    for second, model in enumerate(models):
        known = models[max(0, second - 2)]
        tracker.look(model, 0.5 + 0.5 * (known - 0.5), second * S, learned)
    assert learned.used == pytest.approx(0.5, abs=0.05)


def test_a_silence_is_no_news() -> None:
    tracker, learned = LeadTracker(2 * S), LeadRegression()
    for second in range(4):
        tracker.look(0.5, 0.5, second * S, learned)
    samples = learned.n
    assert tracker.look(0.9, 0.9, 60 * S, learned) is None
    assert learned.n == samples
