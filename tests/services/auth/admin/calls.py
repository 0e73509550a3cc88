"""Calls of Admin with any token, and what became of them."""

from typing import Any

from grpc import aio

from restante.model import ErrorKind
from restante.rpc.admin.v1 import admin_pb2 as pb
from restante.rpc.admin.v1 import admin_pb2_grpc
from restante.rpc.admin_client import read_token
from restante.rpc.errors import error_of
from services.auth.server import AuthServer

METHODS = pb.DESCRIPTOR.services_by_name["Admin"].methods


class Admin:
    """An administrator by one token; the one of the running service where none is given."""

    def __init__(self, server: AuthServer, token: str | None = None) -> None:
        found = read_token(server.settings.run_dir, {}) if token is None else token
        self._channel = aio.insecure_channel(str(server.settings.listen))
        self._stub = admin_pb2_grpc.AdminStub(self._channel)
        self._metadata = (("authorization", f"Bearer {found}"),)

    async def __call__(self, method: str, request: object) -> Any:
        """Return the answer. Raises aio.AioRpcError."""
        return await getattr(self._stub, method)(request, metadata=self._metadata)

    async def kind(self, method: str, request: object) -> ErrorKind | None:
        """Return the kind of the error, None where there is none."""
        try:
            await self(method, request)
        except aio.AioRpcError as fault:
            error = error_of(fault.trailing_metadata(), fault.details())
            assert error is not None, fault
            return error.kind
        return None

    async def token(self, role: "pb.Role", *domains: str, name: str = "script") -> str:
        """Make a token; return its secret."""
        token = pb.Token(name=name, role=role, domains=domains)
        made = await self("CreateToken", pb.CreateTokenRequest(token=token))
        return str(made.secret)

    async def close(self) -> None:
        await self._channel.close()
