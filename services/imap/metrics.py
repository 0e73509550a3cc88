"""What the IMAP service counts; docs/metrics.md says what it means."""

from collections.abc import Collection, Iterable
from typing import Final

from restante.model import ErrorKind
from restante.runtime.connection import Connection
from restante.runtime.metrics import Buckets, Cell, Counter, Gauge, Histogram
from restante.wire.imap.commands import Command, Idle

CONNECTIONS: Final = Gauge("restante_imap_connections", "IMAP connections now.")
_SESSIONS: Final = Gauge("restante_imap_sessions", "IMAP sessions now, by state.", ("state",))
IDLING: Final = Gauge(
    "restante_imap_idling_sessions", "IMAP sessions that wait in IDLE now."
).labels()
SELECTED: Final = _SESSIONS.labels("selected")
LOGINS: Final = Counter(
    "restante_imap_logins_total",
    "IMAP logins by mechanism and result: ok, proxied, or the kind of error.",
    ("mechanism", "result"),
)
_COMMAND: Final = Histogram(
    "restante_imap_command_seconds",
    "Time from a command to its tagged answer, by command; IDLE is apart.",
    ("command",),
)
_IDLE: Final = Histogram(
    "restante_imap_idle_seconds",
    "How long sessions stayed in IDLE.",
    buckets=(1, 10, 60, 300, 600, 1200, 1800, 3600),
)
_FAILED: Final = Counter(
    "restante_imap_command_failures_total",
    "Commands that were answered NO or BAD; those that could not be read are `bad`.",
    ("command", "result"),
)
SENT: Final = Counter(
    "restante_imap_sent_bytes_total", "Bytes that sessions wrote to clients."
).labels()


class Commands:
    """The cells of every command of the table."""

    def __init__(self, table: Iterable[type[Command]]) -> None:
        table = list(table)
        self.seconds: dict[type[Command], Buckets] = {
            c: _IDLE.labels() if c is Idle else _COMMAND.labels(c.name) for c in table
        }
        self.no: dict[type[Command], Cell] = {c: _FAILED.labels(c.name, "no") for c in table}
        self.bad: dict[type[Command], Cell] = {c: _FAILED.labels(c.name, "bad") for c in table}
        self.unreadable = _FAILED.labels("bad", "bad")


def refused(mechanism: str, kind: ErrorKind) -> None:
    """Count a login that did not succeed."""
    LOGINS.labels(mechanism, kind.value).inc()


def measure(connections: Collection[Connection]) -> None:
    """Count the sessions by what they have come to."""
    inside = sum(1 for connection in connections if connection.user)
    _SESSIONS.labels("not_authenticated").set(len(connections) - inside)
    _SESSIONS.labels("authenticated").set(max(0, inside - SELECTED.value))


for _mechanism in ("plain", "login"):  # so that rates are there from the first one on
    for _result in ("ok", "auth_failed", "temporary"):
        LOGINS.labels(_mechanism, _result)
