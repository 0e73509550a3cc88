"""Spans of gRPC calls that auth answers, children of the caller's span."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import grpc
from grpc import aio

from restante.model import spans
from restante.rpc.auth.v1 import auth_pb2

_SERVICE: Final = auth_pb2.DESCRIPTOR.services_by_name["Auth"].full_name


class Traced(aio.ServerInterceptor):
    """Makes a span for each call of Auth that gets one answer. Streams have none: they never end.

    Where nothing is traced, calls pass untouched.
    """

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[Any]]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Return the handler of a call, with a span around it."""
        handler = await continuation(handler_call_details)
        name = handler_call_details.method.removeprefix("/")
        wanted = spans.on() and name.startswith(_SERVICE)
        if handler is None or handler.unary_unary is None or not wanted:
            return handler
        behaviour = handler.unary_unary
        parent = next(
            (
                value
                for key, value in handler_call_details.invocation_metadata or ()
                if key == "traceparent" and isinstance(value, str)
            ),
            "",
        )

        async def call(request: Any, context: Any) -> Any:
            session = getattr(request, "session", "")
            with spans.span(name, "server", parent=parent, session=session) as span:
                try:
                    return await behaviour(request, context)
                finally:
                    code = context.code()
                    if code:
                        span.failed(code.name if isinstance(code, grpc.StatusCode) else str(code))

        traced: Any = call
        return grpc.unary_unary_rpc_method_handler(
            traced, handler.request_deserializer, handler.response_serializer
        )
