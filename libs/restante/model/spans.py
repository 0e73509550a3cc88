"""Spans of a trace, for code that must not know what traces them.

Without a tracer every call here is a look at one variable. restante.runtime.tracing sets one in a
worker whose settings name a collector. Attributes hold what log lines may hold: addresses of users,
ids, sizes, kinds of errors; never a password, a token, or text of a message.

The current span belongs to a task (a context variable): a task or call that is begun inside of it
is its child. Work in a thread is that of `carried`.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Literal, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

Kind = Literal["internal", "server", "client"]
Value = str | int | float | bool
Metadata = Sequence[tuple[str, str]]


class Span(Protocol):
    """One span; a context manager that makes it current inside, and ends it."""

    def __enter__(self) -> "Span": ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def note(self, **attributes: Value) -> None:
        """Add attributes."""

    def failed(self, kind: str) -> None:
        """Say that what the span is about failed: the kind of the error, not its text."""

    def active(self) -> "Span":
        """Return a context manager that makes it current inside, and does not end it."""

    def end(self) -> None:
        """End a span that was not entered. Harmless more than once."""


class Tracer(Protocol):
    """What makes spans."""

    def start(self, name: str, kind: Kind, parent: str, attributes: Mapping[str, Value]) -> Span:
        """Begin a span, child of the current one, or of `parent` (a traceparent)."""

    def past(self, name: str, start: int, attributes: Mapping[str, Value]) -> None:
        """Note a span that began at `start` (unix nanoseconds) and ends now."""

    def traceparent(self) -> str:
        """Return the current span for another process (W3C Trace Context), "" for none."""

    def carried(self, call: Callable[P, T]) -> Callable[P, T]:
        """Return a call that has the current span, in whatever thread."""


class _Nothing:
    """The span where nothing is traced."""

    def __enter__(self) -> "_Nothing":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def note(self, **attributes: Value) -> None:
        pass

    def failed(self, kind: str) -> None:
        pass

    def active(self) -> "_Nothing":
        return self

    def end(self) -> None:
        pass


_NOTHING = _Nothing()
_tracer: Tracer | None = None


def use(tracer: Tracer | None) -> None:
    """Trace with this from now on; None: not."""
    global _tracer
    _tracer = tracer


def on() -> bool:
    """True where spans are made."""
    return _tracer is not None


def span(name: str, kind: Kind = "internal", *, parent: str = "", **attributes: Value) -> Span:
    """Begin a span. `parent` is a traceparent of another process, "" for the current span."""
    if _tracer is None:
        return _NOTHING
    return _tracer.start(name, kind, parent, attributes)


def past(name: str, seconds: float, **attributes: Value) -> None:
    """Note what took `seconds` until now."""
    if _tracer is not None:
        _tracer.past(name, time.time_ns() - int(seconds * 1e9), attributes)


def metadata() -> Metadata | None:
    """Return what a gRPC call takes along of the current span, None for nothing."""
    parent = _tracer.traceparent() if _tracer is not None else ""
    return (("traceparent", parent),) if parent else None


def carried(call: Callable[P, T]) -> Callable[P, T]:
    """Return a call that has the current span, in whatever thread."""
    return call if _tracer is None else _tracer.carried(call)
