"""Traces to an OpenTelemetry collector (OTLP over HTTP), where the settings name one.

- Without an endpoint nothing of OpenTelemetry is imported, and spans.py looks at one variable.
- Everything is made in a worker, after the fork: threads and locks of a provider do not survive
  one. The worker's end flushes what is left, for FLUSH seconds at most.
- Spans wait in a queue of QUEUE entries for a thread that sends them. A collector that is away,
  slow or hangs costs spans, never a session: what finds the queue full, or could not be sent, is
  dropped, counted (restante_spans_dropped_total) and told in the log once, until it works again.
- A trace is kept or dropped as a whole: by the share in the settings where it begins, and as its
  parent was elsewhere. Slow commands are kept always.
"""

import contextvars
import importlib.util
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

import restante
from restante.model import MailError, spans
from restante.model.spans import Kind, Value
from restante.runtime.log import get_logger
from restante.runtime.metrics import Counter
from restante.runtime.settings import ServiceSettings

if TYPE_CHECKING:
    from opentelemetry import trace
    from opentelemetry.context import Context
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import ReadableSpan

P = ParamSpec("P")
T = TypeVar("T")

QUEUE: Final = 8192  # spans
BATCH: Final = 512  # spans of one request
DELAY: Final = 2.0  # seconds that a span waits for others
TIMEOUT: Final = 5.0  # seconds of a request
FLUSH: Final = 2.0  # seconds at the end of a worker
SLOW: Final = 1.0  # seconds from which on a command of IMAP or POP3 has a span
_KEEP: Final = "restante.slow"  # attribute of a span that is kept whatever the share is

_log = get_logger(__name__)
_DROPPED: Final = Counter("restante_spans_dropped_total", "Spans that no collector got.")


def endpoint(settings: ServiceSettings) -> str:
    """Return the collector's base URL, "" for none: the setting, else OpenTelemetry's variable."""
    return settings.otlp_endpoint or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "")


def announce(settings: ServiceSettings) -> None:
    """Say at a service's start where traces go, or that they cannot. Imports nothing."""
    target = endpoint(settings)
    if not target:
        return
    if not _installed():
        _log.warning("no traces: OpenTelemetry is not installed (extra otel)", endpoint=target)
    else:
        _log.info("traces", endpoint=target, share=settings.otlp_share)


def start(name: str, settings: ServiceSettings) -> "Callable[[], None] | None":
    """Trace this worker of the service `name`; return what ends that, None where it is not traced.

    In the worker, after the fork.
    """
    target = endpoint(settings)
    if not target or not _installed():
        return None
    tracer = _Tracer(name, settings, target)
    spans.use(tracer)

    def stop() -> None:
        spans.use(None)
        tracer.close()

    return stop


def slow(name: str, seconds: float, **attributes: Value) -> None:
    """Note a command that took SLOW seconds or more."""
    if seconds >= SLOW and spans.on():
        spans.past(name, seconds, **attributes, **{_KEEP: True})


def _installed() -> bool:
    try:
        return importlib.util.find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ImportError:  # nor what it is in
        return False


class _Sender:
    """The queue, and the thread that empties it: a span processor of the SDK."""

    def __init__(self, exporter: "OTLPSpanExporter") -> None:
        self._exporter = exporter
        self._queue: deque[ReadableSpan] = deque()
        self._wake = threading.Event()
        self._ending = False
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self._thread.start()

    def on_start(self, span: object, parent_context: object = None) -> None:
        """Nothing to do."""

    def _on_ending(self, span: object) -> None:
        """Nothing to do."""

    def on_end(self, span: "ReadableSpan") -> None:
        """Take a span. Never waits."""
        if len(self._queue) >= QUEUE:
            _DROPPED.inc()
            return
        self._queue.append(span)
        if len(self._queue) >= BATCH:
            self._wake.set()

    def force_flush(self, timeout_millis: int = 0) -> bool:
        """The thread sends as fast as it can."""
        self._wake.set()
        return True

    def shutdown(self) -> None:
        """Send what is left, within FLUSH seconds."""
        self._ending = True
        self._wake.set()
        self._thread.join(FLUSH)
        if self._queue:
            _DROPPED.inc(len(self._queue))

    def _run(self) -> None:
        while not (self._ending and not self._queue):
            if not self._ending:
                self._wake.wait(DELAY)
            self._wake.clear()
            while self._queue:
                batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
                if not self._sent(batch):
                    _DROPPED.inc(len(batch))

    def _sent(self, batch: "list[ReadableSpan]") -> bool:
        from opentelemetry.sdk.trace.export import SpanExportResult

        try:
            done = self._exporter.export(batch) is SpanExportResult.SUCCESS
            reason = "" if done else "no answer, or a refusal"
        except Exception as error:  # noqa: BLE001 - whatever it is, it only costs spans
            done, reason = False, type(error).__name__
        if not done and not self._failing:
            _log.warning("traces cannot be sent and are dropped", reason=reason)
        elif done and self._failing:
            _log.info("traces are sent again")
        self._failing = not done
        return done


class _Tracer:
    """restante.model.spans.Tracer by OpenTelemetry's SDK."""

    def __init__(self, name: str, settings: ServiceSettings, target: str) -> None:
        # ruff: noqa: PLC0415 - a service without a collector does not load OpenTelemetry
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
        from opentelemetry.sdk.trace.sampling import (
            ALWAYS_ON,
            ParentBased,
            Sampler,
            SamplingResult,
            TraceIdRatioBased,
        )

        # Its own reports of failures would come for each batch.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        logging.getLogger("urllib3").setLevel(logging.CRITICAL)
        share = TraceIdRatioBased(settings.otlp_share)

        class Share(Sampler):
            """The share of the settings, and all that is slow."""

            def should_sample(  # type: ignore[no-untyped-def]  # the SDK's own signature, passed on
                self, parent_context, trace_id, name, kind=None, attributes=None, *args, **more
            ) -> SamplingResult:
                chosen = ALWAYS_ON if attributes and _KEEP in attributes else share
                return chosen.should_sample(
                    parent_context, trace_id, name, kind, attributes, *args, **more
                )

            def get_description(self) -> str:
                return "restante"

        class Sender(_Sender, SpanProcessor):
            """For the SDK, which asks for its own type."""

        resource = Resource.create(
            {
                "service.name": f"restante-{name}",
                "service.version": restante.__version__,
                "service.instance.id": f"{settings.hostname}/{os.getpid()}",
                "host.name": settings.hostname,
            }
        )
        self._provider = TracerProvider(
            sampler=ParentBased(Share()), resource=resource, shutdown_on_exit=False
        )
        exporter = OTLPSpanExporter(endpoint=target.rstrip("/") + "/v1/traces", timeout=TIMEOUT)
        self._provider.add_span_processor(Sender(exporter))
        self._tracer = self._provider.get_tracer("restante", restante.__version__)
        self._trace = trace
        self._kinds = {
            "internal": trace.SpanKind.INTERNAL,
            "server": trace.SpanKind.SERVER,
            "client": trace.SpanKind.CLIENT,
        }

    def start(self, name: str, kind: Kind, parent: str, attributes: Mapping[str, Value]) -> "_Span":
        """Begin a span."""
        context = _context_of(parent) if parent else None
        made = self._tracer.start_span(
            name, context, self._kinds[kind], {**attributes}, record_exception=False
        )
        return _Span(made)

    def past(self, name: str, start: int, attributes: Mapping[str, Value]) -> None:
        """Note a span that ends now."""
        self._tracer.start_span(name, attributes={**attributes}, start_time=start).end()

    def traceparent(self) -> str:
        """Return the current span as the header of that name."""
        context = self._trace.get_current_span().get_span_context()
        if not context.is_valid:
            return ""
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

    def carried(self, call: Callable[P, T]) -> Callable[P, T]:
        """Return the call with the context of now."""
        context = contextvars.copy_context()

        def run(*args: P.args, **kwargs: P.kwargs) -> T:
            return context.run(call, *args, **kwargs)

        return run

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


class _Span:
    """restante.model.spans.Span."""

    __slots__ = ("_current", "_ends", "_span")

    def __init__(self, span: "trace.Span", *, ends: bool = True) -> None:
        self._span, self._ends = span, ends
        self._current: AbstractContextManager[object] | None = None

    def __enter__(self) -> "_Span":
        from opentelemetry import trace

        self._current = trace.use_span(
            self._span, record_exception=False, set_status_on_exception=False
        )
        self._current.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._current is not None:
            self._current.__exit__(kind, error, trace)
        if error is not None:  # its text may hold anything
            mail = error if isinstance(error, MailError) else None
            self.failed(mail.kind.value if mail is not None else type(error).__name__)
        if self._ends:
            self._span.end()

    def note(self, **attributes: Value) -> None:
        for name, value in attributes.items():
            self._span.set_attribute(name, value)

    def failed(self, kind: str) -> None:
        from opentelemetry.trace import StatusCode

        self._span.set_attribute("error.type", kind)
        self._span.set_status(StatusCode.ERROR)

    def active(self) -> "_Span":
        return _Span(self._span, ends=False)

    def end(self) -> None:
        if self._span.is_recording():
            self._span.end()


def _context_of(parent: str) -> "Context":
    """Return the context of a traceparent; of none where it cannot be understood."""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": parent})
