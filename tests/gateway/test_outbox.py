from engine.domain.effects import Severity
from engine.domain.events import OrderNotSent
from engine.domain.orders import OrderId
from engine.gateway import lanes as module
from engine.gateway.lanes import RequestOutbox


def test_reports_are_handed_out_once_and_in_order(build):
    outbox = RequestOutbox(build.account)
    events = [
        OrderNotSent(account=build.account, order=OrderId(number), reason="x")
        for number in range(3)
    ]
    for event in events:
        outbox.report(event)
    assert outbox.take_reports() == events
    assert outbox.take_reports() == []


def test_of_a_kind_of_alert_only_the_latest_is_told(build):
    outbox = RequestOutbox(build.account)
    outbox.alert(Severity.CRITICAL, "a", "first")
    outbox.alert(Severity.WARNING, "b", "other")
    outbox.alert(Severity.CRITICAL, "a", "second")
    assert [(alert.kind, alert.text) for alert in outbox.take_alerts()] == [
        ("a", "second"),
        ("b", "other"),
    ]
    assert outbox.take_alerts() == []


def test_alerts_are_bounded(build, monkeypatch):
    monkeypatch.setattr(module, "ALERTS_MAX", 1)
    outbox = RequestOutbox(build.account)
    outbox.alert(Severity.INFO, "a", "kept")
    outbox.alert(Severity.INFO, "b", "over the bound")
    assert [alert.kind for alert in outbox.take_alerts()] == ["a"]


def test_there_is_news_until_all_is_handed_out(build):
    outbox = RequestOutbox(build.account)
    assert not outbox.pending
    outbox.report(OrderNotSent(account=build.account, order=OrderId(1), reason="x"))
    outbox.alert(Severity.INFO, "a", "b")
    outbox.take_reports()
    assert outbox.pending
    outbox.take_alerts()
    assert not outbox.pending
