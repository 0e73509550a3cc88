"""Counts every gRPC call: its method, its code, its time. Streams are counted when they end."""

from collections.abc import AsyncIterator, Awaitable, Callable
from time import perf_counter
from typing import Any, Final, TypeAlias

import grpc
from grpc import aio

from services.auth import metrics

Context = aio.ServicerContext[Any, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

_CODES: Final = {code.value[0]: code.name.lower() for code in grpc.StatusCode}


class Calls(aio.ServerInterceptor):
    """The outermost interceptor: it sees the refusals of those behind it, too."""

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        """Return the handler, counted; None where there is no such method."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        name = handler_call_details.method.rpartition("/")[2]
        if handler.unary_unary is not None:
            counted: Any = _one(name, handler.unary_unary)
            return grpc.unary_unary_rpc_method_handler(
                counted, handler.request_deserializer, handler.response_serializer
            )
        if handler.unary_stream is not None:
            stream: Any = _many(name, handler.unary_stream)
            return grpc.unary_stream_rpc_method_handler(
                stream, handler.request_deserializer, handler.response_serializer
            )
        return handler


def _one(name: str, behaviour: Any) -> Callable[[object, Context], Awaitable[object]]:
    async def call(request: object, context: Context) -> object:
        started = perf_counter()
        try:
            return await behaviour(request, context)
        finally:
            metrics.CALL_SECONDS.labels(name).observe(perf_counter() - started)
            _ended(name, context)

    return call


def _many(name: str, behaviour: Any) -> Callable[[object, Context], AsyncIterator[object]]:
    async def call(request: object, context: Context) -> AsyncIterator[object]:
        try:
            async for answer in behaviour(request, context):
                yield answer
        finally:
            _ended(name, context)

    return call


def _ended(name: str, context: Context) -> None:
    code = context.code()
    number = code.value[0] if isinstance(code, grpc.StatusCode) else int(code or 0)
    metrics.CALLS.labels(name, _CODES.get(number, "unknown")).inc()
