from engine.feeds import counts as counts_module
from engine.feeds.counts import FeedCounts


def test_kinds_of_anomalies_are_bounded(monkeypatch):
    monkeypatch.setattr(counts_module, "ANOMALY_KINDS_MAX", 2)
    counts = FeedCounts()
    for kind in ("a", "b", "c", "d", "a"):
        counts.anomaly(kind)
    assert counts.anomalies == {"a": 2, "b": 1, "other": 2}
