"""What the delivery service counts; docs/metrics.md says what it means."""

from collections.abc import Iterable
from typing import Any, Final

from restante.model import MailError
from restante.runtime.metrics import Buckets, Cell, Counter, Gauge, Histogram

CONNECTIONS: Final = Gauge("restante_delivery_connections", "LMTP connections now.")
_COMMAND: Final = Histogram(
    "restante_lmtp_command_seconds", "Time from a command to its answer, by command.", ("command",)
)
_FAILED: Final = Counter(
    "restante_lmtp_command_failures_total",
    "Commands that were answered 4xx or 5xx; those that could not be read are `bad`.",
    ("command",),
)
_RESULTS: Final = Counter(
    "restante_delivery_results_total",
    "Recipients of whole messages by hook and result: stored, duplicate, or the kind of error.",
    ("hook", "result"),
)
_SECONDS: Final = Histogram(
    "restante_delivery_seconds",
    "Time from the last byte of a message to the results of all its recipients.",
    ("hook",),
)
_SIZE: Final = Histogram(
    "restante_delivery_message_bytes",
    "Sizes of messages as they came, each once.",
    ("hook",),
    buckets=(3e3, 1e4, 3e4, 1e5, 3e5, 1e6, 3e6, 1e7, 3e7, 1e8),
)
_RECIPIENTS: Final = Histogram(
    "restante_delivery_recipients",
    "Recipients of a message.",
    ("hook",),
    buckets=(1, 2, 3, 5, 10, 30, 100, 300, 1000),
)
_CHECKED: Final = Counter(
    "restante_delivery_recipient_checks_total",
    "Questions whether mail is taken for an address: ok, or the kind of error.",
    ("result",),
)
_LOOKUPS: Final = Counter(
    "restante_delivery_lookup_cache_total",
    "Look-ups of accounts: hit, shared with one under way, or miss, which asks auth.",
    ("result",),
)

HIT, SHARED, MISS = (_LOOKUPS.labels(result) for result in ("hit", "shared", "miss"))
FOUND: Final = _CHECKED.labels("ok")
UNREADABLE: Final[Cell] = _FAILED.labels("bad")


def commands(table: Iterable[type[Any]]) -> dict[type[Any], tuple[Buckets, Cell]]:
    """Return, for each command, where its time and its failures are counted."""
    names = {command: command.__name__.upper() for command in table}
    return {c: (_COMMAND.labels(name), _FAILED.labels(name)) for c, name in names.items()}


def recipient_refused(fault: MailError) -> None:
    """Count an address that mail is not taken for."""
    _CHECKED.labels(fault.kind.value).inc()


def delivered(hook: str, results: Iterable[str], *, size: int, seconds: float) -> None:
    """Count a whole message: the result of each recipient, its bytes, the time it took."""
    count = 0
    for result in results:
        _RESULTS.labels(hook, result).inc()
        count += 1
    _RECIPIENTS.labels(hook).observe(count)
    _SIZE.labels(hook).observe(size)
    _SECONDS.labels(hook).observe(seconds)


for _hook in ("lmtp", "http"):  # so that rates are there from the first one on
    for _histogram in (_SECONDS, _SIZE, _RECIPIENTS):
        _histogram.labels(_hook)
    for _result in ("stored", "duplicate", "over_quota", "temporary"):
        _RESULTS.labels(_hook, _result)
