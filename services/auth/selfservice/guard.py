"""Who may call what of Self, and how errors are answered.

Invariants: every method of Self passes `login_step` (no session yet) or `owner` (a whole session;
a test holds the list against the proto). `owner` asks at every call for the session and for the
account as it is now. A change is told to all who watch, and recorded, before it is answered. A
master user who came in as somebody else may look, not change.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, NoReturn, Protocol, TypeVar

from grpc import aio

from restante.model import Account, ErrorKind, MailError
from restante.rpc.errors import abort
from restante.runtime.log import get_logger
from services.auth.selfservice.parts import Parts
from services.auth.selfservice.sessions import Session

log = get_logger(__name__)

Context = aio.ServicerContext[Any, Any]
_Q = TypeVar("_Q")
_R = TypeVar("_R")


class Guarded(Protocol):
    """What the decorators need of the servicer."""

    parts: Parts


_S = TypeVar("_S", bound=Guarded)
_Step = Callable[[_S, _Q], Awaitable[_R]]
_Method = Callable[[_S, _Q, Context], Awaitable[_R]]


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose call it is."""

    session: Session
    account: Account


_OwnerStep = Callable[[_S, _Q, Caller], Awaitable[_R]]


def login_step(method: _Step[_S, _Q, _R]) -> _Method[_S, _Q, _R]:
    """Answer errors of a method that needs no session."""

    @wraps(method)
    async def call(self: _S, request: _Q, context: Context) -> _R:
        try:
            return await method(self, request)
        except Exception as error:  # noqa: BLE001 - every fault is answered
            await _answer(context, error)

    call.guarded = True  # type: ignore[attr-defined]  # seen by the test of this module
    return call


def owner(
    action: str = "", detail: Callable[[Any], str] = lambda _: ""
) -> Callable[[_OwnerStep[_S, _Q, _R]], _Method[_S, _Q, _R]]:
    """Let the holder of a session in. `action` names a change for the audit log.

    `detail` of the request is recorded, too.
    """

    def decorate(method: _OwnerStep[_S, _Q, _R]) -> _Method[_S, _Q, _R]:
        @wraps(method)
        async def call(self: _S, request: _Q, context: Context) -> _R:
            session = None
            try:
                session = await self.parts.sessions.find(_token(context))
                if session.pending:
                    raise MailError(ErrorKind.AUTH_FAILED, "the second factor is missing")  # noqa: TRY301 - one way out
                caller = Caller(session, await self.parts.account(session.address))
                if action and session.actor:
                    raise MailError(ErrorKind.PERMISSION, "a master user changes nothing here")  # noqa: TRY301 - one way out
                answer = await method(self, request, caller)
            except Exception as error:  # noqa: BLE001 - every fault is answered
                if action and session is not None:
                    kind = error.kind if isinstance(error, MailError) else ErrorKind.INTERNAL
                    self.parts.note(action, session, result=kind.value, detail=detail(request))
                await _answer(context, error)
            if action:
                self.parts.note(action, session, detail=detail(request))
            return answer

        call.guarded = True  # type: ignore[attr-defined]  # seen by the test of this module
        return call

    return decorate


def _token(context: Context) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == "authorization":
            text = value if isinstance(value, str) else value.decode("ascii", "replace")
            scheme, _, token = text.partition(" ")
            if scheme.lower() == "bearer":
                return token.strip()
    raise MailError(ErrorKind.AUTH_FAILED, "no session")


async def _answer(context: Context, error: Exception) -> NoReturn:
    if isinstance(error, MailError):
        await abort(context, error)
    if isinstance(error, aio.AbortError):
        raise error
    log.error("self call failed", exc_info=error)
    await abort(context, MailError(ErrorKind.TEMPORARY, "internal fault"))
