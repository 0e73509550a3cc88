"""An auth service for tests: subclasses answer the calls that they are about."""

from typing import Any

import grpc

from restante.rpc.auth.v1 import auth_pb2_grpc


class AuthStub(auth_pb2_grpc.AuthServicer):
    """Every call is UNIMPLEMENTED."""

    async def _no(self, request: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "not in this test")

    async def _no_stream(self, request: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "not in this test")
        yield None

    Authenticate = ScramParameters = ChangePassword = Lookup = ReportSessions = _no
    Enumerate = Watch = _no_stream
