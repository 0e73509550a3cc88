"""For which service an account is looked for, where a module's question depends on it.

Courier's clauses may name $(service). Modules are asked for a login (Backend.find), so the service
goes along in a context variable, which whoever judges an attempt sets.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_SERVICE: Final[ContextVar[str]] = ContextVar("restante_auth_service", default="")


def service() -> str:
    """Return "imap", "pop3"..., or "" where nobody logs in (a delivery, a list)."""
    return _SERVICE.get()


@contextmanager
def for_service(name: str) -> Iterator[None]:
    """What is asked inside, in this task, is asked for a service."""
    token = _SERVICE.set(name)
    try:
        yield
    finally:
        _SERVICE.reset(token)
