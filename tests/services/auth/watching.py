"""A Watch stream that a test reads, and calls that say when nothing came."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from grpc import aio

from restante.rpc.auth.v1 import auth_pb2, auth_pb2_grpc
from restante.rpc.revocation import Revocation, revocation_of

WAIT = 10.0  # seconds; only a bound


class Watcher:
    """One stream; `position` as a client keeps it."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self.position = 0

    async def synced(self) -> list[Revocation]:
        """Wait for the next "synced"; return what was revoked before it."""
        told = []
        while (message := await self._next()) is not None:
            told.append(message)
        return told

    async def revocation(self) -> Revocation:
        """Wait for the next revocation."""
        while (told := await self._next()) is None:
            pass
        return told

    async def ended(self) -> bool:
        """Wait for the end of the stream; True if it ended by an error, as it must."""
        try:
            while True:
                await self._next()
        except aio.AioRpcError:
            return True
        except EOFError:
            return False

    async def _next(self) -> Revocation | None:
        async with asyncio.timeout(WAIT):
            message: Any = await self._call.read()
        if message is aio.EOF:
            raise EOFError
        self.position = message.position or self.position
        return revocation_of(message.revocation) if message.HasField("revocation") else None


@asynccontextmanager
async def watching(target: str, position: int = 0) -> AsyncIterator[Watcher]:
    """Open a stream; it may not be synced yet."""
    async with aio.insecure_channel(target) as channel:
        stub: Any = auth_pb2_grpc.AuthStub(channel)
        call = stub.Watch(auth_pb2.WatchRequest(position=position), wait_for_ready=True)
        yield Watcher(call)
        call.cancel()
