"""What the POP3 service counts; docs/metrics.md says what it means."""

from collections.abc import Collection, Iterable
from typing import Final

from restante.model import ErrorKind
from restante.runtime.connection import Connection
from restante.runtime.metrics import Cell, Counter, Gauge, Histogram

CONNECTIONS: Final = Gauge("restante_pop3_connections", "POP3 connections now.")
_SESSIONS: Final = Gauge("restante_pop3_sessions", "POP3 sessions now, by state.", ("state",))
LOGINS: Final = Counter(
    "restante_pop3_logins_total",
    "POP3 logins by mechanism and result: ok, proxied, early, or the kind of error.",
    ("mechanism", "result"),
)
COMMAND: Final = Histogram(
    "restante_pop3_command_seconds", "Time from a command to its answer, by command.", ("command",)
)
FAILED: Final = Counter(
    "restante_pop3_command_failures_total",
    "Commands that were answered -ERR by an error; those that could not be read are `bad`.",
    ("command",),
)
RETRIEVED: Final = Counter("restante_pop3_retrieved_messages_total", "Messages sent by RETR.")
DELETED: Final = Counter("restante_pop3_deleted_messages_total", "Messages removed at QUIT.")
OCTETS: Final = Counter("restante_pop3_sent_message_bytes_total", "Bytes of messages sent.")
UNREADABLE: Final[Cell] = FAILED.labels("bad")


def know(names: Iterable[str]) -> None:
    """Tell of every command from the start, as 0."""
    for name in names:
        COMMAND.labels(name)
        FAILED.labels(name)


def refused(mechanism: str, kind: ErrorKind) -> None:
    """Count a login that did not succeed."""
    LOGINS.labels(mechanism, kind.value).inc()


def measure(connections: Collection[Connection]) -> None:
    """Count the sessions by state (RFC 1939 section 3)."""
    inside = sum(1 for connection in connections if connection.user)
    _SESSIONS.labels("authorization").set(len(connections) - inside)
    _SESSIONS.labels("transaction").set(inside)


for _mechanism in ("plain", "login"):  # so that rates are there from the first one on
    for _result in ("ok", "auth_failed", "temporary"):
        LOGINS.labels(_mechanism, _result)
