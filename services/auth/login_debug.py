"""RESTANTE_AUTH_DEBUG_LOGIN: every request's way through the modules as log lines.

What Courier's DEBUG_LOGIN does, but for passwords: no step of a trace ever holds one, nor a hash.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from restante.model import MailError
from restante.runtime.log import get_logger
from services.auth.mechanisms.base import Attempt
from services.auth.trace import Trace, collecting

_log = get_logger(__name__)

_EVENT: Final = "login debug"


class LoginDebug:
    """Writes the lines, where it is enabled."""

    def __init__(self, *, enabled: bool) -> None:
        self.enabled = enabled

    @contextmanager
    def following(self, request: str, attempt: Attempt) -> Iterator[None]:
        """Follow what runs inside; its steps and its end are written when it is over."""
        if not self.enabled:
            yield
            return
        outcome = "fault"
        with collecting() as trace:
            try:
                yield
                outcome = "ok"
            except MailError as error:
                outcome = error.kind.value
                raise
            finally:
                _write(request, attempt, trace, outcome)


def _write(request: str, attempt: Attempt, trace: Trace, outcome: str) -> None:
    for step in trace.steps:
        _log.info(
            _EVENT,
            request=request,
            user=attempt.user,
            session=attempt.session or None,
            asked=step.who,
            answer=step.answer,
            detail=step.detail or None,
            ms=round(step.seconds * 1000, 2),
        )
    _log.info(
        _EVENT,
        request=request,
        user=attempt.user,
        session=attempt.session or None,
        service=attempt.service or None,
        peer=attempt.peer or None,
        mechanism=attempt.mechanism if attempt.service else None,
        outcome=outcome,
    )
