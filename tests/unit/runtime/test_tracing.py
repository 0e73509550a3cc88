"""What the sender of spans does when nobody takes them; spans where nothing is traced."""

import threading
from typing import Any, cast

import pytest
from opentelemetry.sdk.trace.export import SpanExportResult

from restante.model import ErrorKind, MailError, spans
from restante.runtime import log, tracing
from restante.runtime.settings import ServiceSettings
from tests.services.logs.collector import Collector


class Exporter:
    """Holds up every batch until it is let go."""

    def __init__(self) -> None:
        self.go, self.came = threading.Event(), threading.Event()
        self.batches: list[int] = []
        self.result = SpanExportResult.SUCCESS

    def export(self, batch: list[object]) -> SpanExportResult:
        self.came.set()
        self.go.wait(20)
        self.batches.append(len(batch))
        return self.result


def test_a_full_queue_drops_and_never_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "DELAY", 0.01)
    dropped = 0

    class Count:
        def inc(self, by: int = 1) -> None:
            nonlocal dropped
            dropped += by

    monkeypatch.setattr(tracing, "_DROPPED", Count())
    exporter = Exporter()
    sender = tracing._Sender(cast(Any, exporter))
    sender.on_end(cast(Any, "first"))
    assert exporter.came.wait(20)
    for _ in range(tracing.QUEUE + 100):
        sender.on_end(cast(Any, "span"))
    assert dropped == 100
    exporter.go.set()
    sender.shutdown()
    assert sum(exporter.batches) == tracing.QUEUE + 1
    assert max(exporter.batches) == tracing.BATCH
    assert dropped == 100


def test_refusals_are_said_once_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "DELAY", 0.01)
    lines: list[str] = []
    log.configure("info", "console", lines.append)
    try:
        exporter = Exporter()
        exporter.result = SpanExportResult.FAILURE
        exporter.go.set()
        sender = tracing._Sender(cast(Any, exporter))
        for number in range(1, 4):
            sender.on_end(cast(Any, "span"))
            while len(exporter.batches) < number:
                exporter.came.clear()
                exporter.came.wait(0.01)
        exporter.result = SpanExportResult.SUCCESS
        sender.on_end(cast(Any, "span"))
        sender.shutdown()
    finally:
        log.configure("info", "console")
    assert [line.split(": ", 1)[1].split(" reason")[0] for line in lines] == [
        "traces cannot be sent and are dropped",
        "traces are sent again",
    ]


def test_without_a_tracer_everything_is_nothing() -> None:
    with spans.span("x", "client", user="a") as span:
        span.note(more=1)
        span.failed("temporary")
        with span.active():
            span.end()
    assert spans.metadata() is None
    spans.past("x", 1.0)
    assert spans.carried(len) is len


def test_share_slow_commands_and_errors() -> None:
    """Of a share of nothing only what is slow is kept; an error tells its kind, not its text."""
    with Collector() as collector:
        settings = ServiceSettings(otlp_endpoint=collector.url, otlp_share=0.0)
        stop = tracing.start("imap", settings)
        assert stop is not None
        with spans.span("dropped"):
            tracing.slow("imap FETCH", 2.0, user="fred@example.test")
            tracing.slow("imap NOOP", 0.1, user="fred@example.test")
        tracing.slow("imap SEARCH", 1.0, user="fred@example.test")
        stop()
        assert {span.name for span in collector.spans} == {"imap SEARCH"}
        settings = ServiceSettings(otlp_endpoint=collector.url, otlp_share=1.0)
        stop = tracing.start("imap", settings)
        assert stop is not None
        with pytest.raises(MailError), spans.span("failing"):
            raise MailError(ErrorKind.TEMPORARY, "xqTEXTzk")
        with pytest.raises(ValueError, match="xqTEXTzk"), spans.span("broken"):
            raise ValueError("xqTEXTzk")
        stop()
        kinds = {span.name: span.attributes.get("error.type") for span in collector.spans}
        assert (kinds["failing"], kinds["broken"]) == ("temporary", "ValueError")
        assert not any(b"xqTEXTzk" in raw for raw in collector.raw)
    assert not spans.on()
