"""What a service counts of its calls to auth; docs/metrics.md says what it means."""

from typing import Final

from restante.model import ErrorKind
from restante.model.tally import Counter, Gauge, Histogram

SECONDS: Final = Histogram(
    "restante_auth_client_call_seconds",
    "Time of a call to auth as its caller sees it, with its second try.",
    ("method",),
)
_FAILURES: Final = Counter(
    "restante_auth_client_call_failures_total",
    "Calls to auth that ended with an error, by its kind: a wrong password is one, too.",
    ("method", "kind"),
)
_RETRIES: Final = Counter(
    "restante_auth_client_call_retries_total",
    "Calls that were tried once more, since the connection failed.",
    ("method",),
)
SYNCED: Final = Gauge(
    "restante_auth_client_watch_synced_workers",
    "Workers that hear of revocations just now; the others remember no verdict.",
)
BREAKS: Final = Counter(
    "restante_auth_client_watch_breaks_total", "Ends of the stream of revocations."
)
REVOCATIONS: Final = Counter(
    "restante_auth_client_revocations_total", "Revocations that the worker heard of."
)
VERDICTS: Final = Gauge(
    "restante_auth_client_verdicts", "Right passwords that workers remember now."
)
_VERDICT_CACHE: Final = Counter(
    "restante_auth_client_verdict_cache_total",
    "Passwords looked up: hit, miss, stale (known, too old), closed (nothing may be remembered).",
    ("result",),
)
HIT, MISS, STALE, CLOSED = (
    _VERDICT_CACHE.labels(result) for result in ("hit", "miss", "stale", "closed")
)


def method_of(request: object) -> str:
    """Return the name of the call that takes this request."""
    return type(request).__name__.removesuffix("Request")


def failed(request: object, kind: ErrorKind) -> None:
    """Count a call that ended with an error."""
    _FAILURES.labels(method_of(request), kind.value).inc()


def retried(request: object) -> None:
    """Count a second try."""
    _RETRIES.labels(method_of(request)).inc()


for _method in ("Authenticate", "Lookup"):
    SECONDS.labels(_method)
    _RETRIES.labels(_method)
    _FAILURES.labels(_method, ErrorKind.TEMPORARY.value)
