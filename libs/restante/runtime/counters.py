"""What every service with connections counts: connections, TLS handshakes, sessions, errors."""

from typing import Final

from restante.model import ErrorKind, MailError
from restante.runtime.metrics import Cell, Counter, Histogram

ACCEPTED: Final = Counter(
    "restante_connections_accepted_total",
    "Connections of mail clients that were let in, by how the door speaks.",
    ("door",),
)
REFUSED: Final = Counter(
    "restante_connections_refused_total",
    "Connections and sessions turned away, by the limit that was reached.",
    ("reason",),
)
HANDSHAKES: Final = Counter(
    "restante_tls_handshakes_total",
    "TLS handshakes that ended, by the version agreed on; none where they failed.",
    ("result", "version"),
)
HANDSHAKE_SECONDS: Final = Histogram(
    "restante_tls_handshake_seconds", "Time of a TLS handshake that succeeded."
)
FAILED_SESSIONS: Final = Counter(
    "restante_sessions_failed_total", "Sessions that ended by a fault of ours."
)
REVOKED_SESSIONS: Final = Counter(
    "restante_sessions_revoked_total", "Sessions that were ended since their account was changed."
)
_ERRORS: Final = Counter(
    "restante_errors_total", "Answers that refused what was asked, by kind of error.", ("kind",)
)

_VERSIONS: Final = ("TLSv1.2", "TLSv1.3")
_by_door: Final = ACCEPTED.each(("clear", "tls", "unix"))
_by_reason: Final = REFUSED.each(("total", "address", "user", "draining"))
_by_version: Final = {v: HANDSHAKES.labels("ok", v) for v in _VERSIONS}
_failed: Final = HANDSHAKES.labels("failed", "none")
_by_kind: Final = {kind: _ERRORS.labels(kind.value) for kind in ErrorKind}


def accepted(*, unix: bool, tls: bool) -> Cell:
    """Return the counter of a door."""
    return _by_door["unix" if unix else "tls" if tls else "clear"]


def refused(reason: str) -> None:
    """Count a connection ("total", "address", "draining") or a session ("user") turned away."""
    _by_reason[reason].inc()


def handshake(version: str | None, seconds: float) -> None:
    """Count a TLS handshake; `version` None where it failed."""
    if version is None:
        _failed.inc()
        return
    (_by_version.get(version) or HANDSHAKES.labels("ok", "other")).inc()
    HANDSHAKE_SECONDS.observe(seconds)


def error(fault: MailError | ErrorKind) -> None:
    """Count what a client was refused, at the service's edge."""
    _by_kind[fault.kind if isinstance(fault, MailError) else fault].inc()
