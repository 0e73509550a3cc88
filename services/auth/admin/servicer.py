"""restante.rpc.admin.v1.Admin over the operations. interceptor.py stands before each method."""

from collections.abc import Mapping
from typing import Any

import grpc
from google.protobuf.message_factory import GetMessageClass
from grpc import aio

from restante.rpc.admin.v1 import admin_pb2
from services.auth.admin.interceptor import CALLER, SERVICE
from services.auth.admin.tools import Operation

METHODS = admin_pb2.DESCRIPTOR.services_by_name["Admin"].methods_by_name


def add_to_server(operations: Mapping[str, Operation], server: aio.Server) -> None:
    """Serve the operations. A method without one is UNIMPLEMENTED."""
    handlers = {name: _handler(name, operation) for name, operation in operations.items()}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))


def _handler(name: str, operation: Operation) -> "grpc.RpcMethodHandler[Any, Any]":
    async def behaviour(request: object, context: object) -> object:
        return await operation(CALLER.get(), request)

    method = METHODS[name]
    return grpc.unary_unary_rpc_method_handler(
        behaviour,
        GetMessageClass(method.input_type).FromString,
        GetMessageClass(method.output_type).SerializeToString,
    )
