"""The gRPC door's guard: every call of Admin passes the Desk, all other services pass untouched.

The handlers behind it get their caller from CALLER, which only this module sets: reached in any
other way they fail.
"""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

import grpc
from grpc import aio

from restante.model import MailError
from restante.rpc.admin.v1 import admin_pb2
from restante.rpc.errors import abort
from services.auth.admin.desk import Desk
from services.auth.admin.gate import Credentials, bearer_of
from services.auth.admin.roles import Caller

SERVICE: Final = admin_pb2.DESCRIPTOR.services_by_name["Admin"].full_name
CALLER: Final[ContextVar[Caller]] = ContextVar("restante_admin_caller")

Context = aio.ServicerContext[Any, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class Guard(aio.ServerInterceptor):
    """Asks the Desk before any method of Admin runs."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._prefix = f"/{SERVICE}/"

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """Return the handler of a call, guarded if it is one of ours."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith(self._prefix):
            return handler
        return self._guarded(method.removeprefix(self._prefix), handler)

    def _guarded(self, method: str, handler: Handler) -> Handler:
        # Typed for synchronous servers; grpc.aio calls it with a context of its own.
        behaviour: Any = handler.unary_unary

        async def call(request: object, context: Context) -> object:
            async def run(caller: Caller, asked: object) -> object:
                CALLER.set(caller)  # in a task of its own
                return await behaviour(asked, context)

            try:
                return await self._desk.perform(
                    method, _credentials(context), request, run, seconds=context.time_remaining()
                )
            except MailError as error:
                await abort(context, error)

        guarded: Any = call
        return grpc.unary_unary_rpc_method_handler(
            guarded, handler.request_deserializer, handler.response_serializer
        )


def _credentials(context: Context) -> Credentials:
    auth = context.auth_context()
    names = (
        *auth.get("x509_common_name", ()),
        *auth.get("x509_subject_alternative_name", ()),
    )
    bearer = b""
    for key, value in context.invocation_metadata() or ():
        if key == "authorization":
            bearer = bearer_of(value)
            break
    return Credentials(peer_address(context.peer()), bearer, names)


def peer_address(peer: str) -> str:
    """Return the IP address in a name such as "ipv4:192.0.2.1:4711"; others as they are."""
    kind, _, rest = peer.partition(":")
    if kind not in ("ipv4", "ipv6"):
        return peer
    host = unquote(rest.rpartition(":")[0]).strip("[]")
    return host.partition("%")[0] or peer
