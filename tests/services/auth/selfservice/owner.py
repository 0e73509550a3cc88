"""An owner at the service Self: calls with his token, and what is refused."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from grpc import aio

from restante.model import MailError
from restante.rpc.errors import error_of
from restante.rpc.self.v1 import self_pb2 as pb
from restante.rpc.self.v1 import self_pb2_grpc

PEER = "192.0.2.1"


class Owner:
    """Calls by name: `await owner.Login(user=..., password=...)`. A refusal is a MailError."""

    def __init__(self, channel: aio.Channel, token: str = "") -> None:
        self._stub: Any = self_pb2_grpc.SelfStub(channel)
        self._channel = channel
        self.token = token

    def at(self, token: str) -> "Owner":
        """Return the same owner with another token."""
        return Owner(self._channel, token)

    def __getattr__(self, name: str) -> Any:
        kind = self_pb2_grpc.SelfServicer  # every method is there
        assert hasattr(kind, name), name
        descriptor = pb.DESCRIPTOR.services_by_name["Self"].methods_by_name[name]
        request = getattr(pb, descriptor.input_type.name)

        async def call(**fields: Any) -> Any:
            metadata = (("authorization", f"Bearer {self.token}"),) if self.token else ()
            try:
                return await getattr(self._stub, name)(request(**fields), metadata=metadata)
            except aio.AioRpcError as error:
                found = error_of(error.trailing_metadata(), error.details())
                assert found is not None, error
                raise found from None

        return call

    async def login(self, user: str, password: str = "secret", client: str = "Firefox") -> "Owner":
        """Log in by password alone; return the owner with his session."""
        answer = await self.Login(
            user=user, password=password.encode(), peer=PEER, tls=True, client=client
        )
        assert not answer.second_factors
        return self.at(answer.token)

    async def refused(self, name: str, /, **fields: Any) -> MailError:
        """Return the error of a call that must fail."""
        try:
            answer = await getattr(self, name)(**fields)
        except MailError as error:
            return error
        raise AssertionError(f"{name} answered {answer}")


@asynccontextmanager
async def owner_at(target: str) -> AsyncIterator[Owner]:
    """Connect, without a session."""
    async with aio.insecure_channel(target) as channel:
        yield Owner(channel)
