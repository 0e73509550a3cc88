"""An OpenTelemetry collector: takes spans by OTLP over HTTP and keeps them."""

import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


@dataclass(frozen=True)
class Seen:
    """A span."""

    service: str
    name: str
    trace: str
    id: str
    parent: str  # "" for a root
    attributes: dict[str, str]
    kind: int


@dataclass
class Collector:
    """Listens on a free port while it is entered."""

    spans: list[Seen] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.take(self.path, body, str(self.headers))
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self._arrived = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def take(self, path: str, body: bytes, headers: str) -> None:
        assert path == "/v1/traces"
        request = ExportTraceServiceRequest.FromString(body)
        found = []
        for resource in request.resource_spans:
            about = {a.key: a.value.string_value for a in resource.resource.attributes}
            found += [
                Seen(
                    about["service.name"],
                    span.name,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    {
                        a.key: a.value.string_value or str(a.value.int_value)
                        for a in span.attributes
                    },
                    span.kind,
                )
                for scope in resource.scope_spans
                for span in scope.spans
            ]
        with self._arrived:
            self.raw.append(body)
            self.headers.append(headers)
            self.spans += found
            self._arrived.notify_all()

    def wait_for(self, *wanted: tuple[str, str], seconds: float = 30) -> list[Seen]:
        """Return the spans of the first trace that has all of these (service, name)."""

        def traces() -> list[list[Seen]]:
            by: dict[str, list[Seen]] = {}
            for span in self.spans:
                by.setdefault(span.trace, []).append(span)
            return [t for t in by.values() if {*wanted} <= {(s.service, s.name) for s in t}]

        with self._arrived:
            assert self._arrived.wait_for(traces, seconds), [
                (s.service, s.name) for s in self.spans
            ]
            return traces()[0]
