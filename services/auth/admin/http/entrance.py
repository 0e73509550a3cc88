"""In front of every route: a token first, then a body of bounded size, then the application.

So nobody without a token makes us parse anything, or learns what is asked for rightly. Who calls
is found once and handed on in the request's scope.
"""

from typing import Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from restante.model import ErrorKind, MailError
from services.auth.admin.gate import Credentials, Gate, UnknownCallerError, bearer_of
from services.auth.admin.http.problems import problem, problem_of
from services.auth.audit import Audit

MAX_BODY: Final = 1024 * 1024  # bytes
TOO_LARGE: Final = f"a body has at most {MAX_BODY} bytes"
CREDENTIALS: Final = "restante.credentials"  # key of the scope

_OPEN: Final = "/openapi.json"


class Entrance:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, gate: Gate, audit: Audit) -> None:
        self._app, self._gate, self._audit = app, gate, audit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"] == _OPEN:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        client = scope.get("client")
        peer = str(client[0]) if client else "unix:"
        given = Credentials(peer, bearer_of(headers.get("authorization", "").encode("latin-1")))
        try:
            caller = await self._gate.identify(given)
        except MailError as error:
            self._audit.record(
                action="admin.http",
                actor="nobody",
                peer=peer,
                result=error.kind.value,
                detail=f"{scope['method']} {scope['path']}"[:200],
            )
            if isinstance(error, UnknownCallerError):
                answer = problem(401, error.kind, error.text)
            else:
                answer = problem_of(error)
            await answer(scope, receive, send)
            return
        declared = headers.get("content-length", "0")
        if not (declared.isascii() and declared.isdigit() and len(declared) < 16):
            await problem(400, ErrorKind.BAD_REQUEST, "bad Content-Length")(scope, receive, send)
            return
        if int(declared) > MAX_BODY:
            await problem(413, ErrorKind.TOO_LARGE, TOO_LARGE)(scope, receive, send)
            return
        scope[CREDENTIALS] = Credentials(peer, known=caller)
        await self._app(scope, _Bounded(receive), send)


class _Bounded:
    """A receive channel that ends the request once its body is too large."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._left = MAX_BODY

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                raise HTTPException(413, TOO_LARGE)
        return message
