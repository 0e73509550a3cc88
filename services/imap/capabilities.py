"""What is advertised: exactly what is served, per state (RFC 3501 section 6.1.1).

Before login only what may be used before login is named; a client asks again afterwards, or
reads the list in the OK of its login.
"""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from services.imap.session import Session

_ALWAYS: Final = ("IMAP4rev1", "LITERAL+", "SASL-IR", "ID", "ENABLE")
_AFTER: Final = (
    "IDLE",
    "NAMESPACE",
    "UIDPLUS",
    "MOVE",
    "UNSELECT",
    "CHILDREN",
    "SPECIAL-USE",
    "CREATE-SPECIAL-USE",
    "LIST-EXTENDED",
    "LIST-STATUS",
    "STATUS=SIZE",
    "QUOTA",
    "QUOTA=RES-STORAGE",
    "QUOTA=RES-MESSAGE",
    "ESEARCH",
    "SEARCHRES",
    "WITHIN",
    "CONDSTORE",
)


def capabilities(session: "Session") -> tuple[str, ...]:
    """Return the names for the session's present state."""
    if session.account is not None:
        return _ALWAYS + _AFTER
    start_tls = ("STARTTLS",) if session.may_start_tls else ()
    login = () if session.may_use_password else ("LOGINDISABLED",)
    return _ALWAYS + start_tls + login + tuple(f"AUTH={name}" for name in session.offered)
