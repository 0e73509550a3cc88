"""The client's end of Auth.Watch: one stream for as long as the worker lives.

Invariant: `synced` is told only while the stream runs and auth says so at least every SILENCE
seconds; `broken` is told once for every end of that. After a break the stream is asked to go on
from the last position, so that accounts changed meanwhile still lose their sessions. (A session
that began before the worker's first sync hears only of changes after it.)
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from grpc import aio

from restante.rpc import metrics
from restante.rpc.auth.v1 import auth_pb2, auth_pb2_grpc
from restante.rpc.revocation import Revocation, revocation_of

SILENCE: Final = 3.0  # seconds; auth says something every second
RETRY: Final = 0.1  # seconds before the first try to go on, doubled by each more
RETRY_MOST: Final = 2.0


class Watch:
    """Follows the stream and calls back. The callbacks must not block or raise."""

    def __init__(
        self,
        stub: "auth_pb2_grpc.AuthAsyncStub",
        *,
        revoked: Callable[[Revocation], None],
        synced: Callable[[], None],
        broken: Callable[[], None],
        report: Callable[[str, str], None] = lambda _request, _only: None,
    ) -> None:
        """`report` is told (request, only) where auth asks for the sessions that are held."""
        self._stub, self._report = stub, report
        self._revoked, self._synced, self._broken = revoked, synced, broken
        self._position = 0
        self.in_sync = False  # the stream runs, and auth says that it misses nothing
        self._delay = RETRY

    def use(self, stub: "auth_pb2_grpc.AuthAsyncStub") -> None:
        """Go on by another channel: the stream is asked for again at its next message."""
        self._stub = stub

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                await self._follow()
            except (aio.AioRpcError, TimeoutError):
                pass  # auth is away, or may miss changes just now
            finally:
                self.in_sync = False
                self._broken()
            await asyncio.sleep(self._delay)
            self._delay = min(self._delay * 2, RETRY_MOST)

    async def _follow(self) -> None:
        request = auth_pb2.WatchRequest(position=self._position)
        stub = self._stub
        call: Any = stub.Watch(request, wait_for_ready=True)
        try:
            while stub is self._stub:
                async with asyncio.timeout(SILENCE):
                    message = await call.read()
                if message is aio.EOF:
                    return
                self._take(message)
        finally:
            call.cancel()

    def _take(self, message: auth_pb2.WatchResponse) -> None:
        self._delay = RETRY
        if message.HasField("revocation"):
            metrics.REVOCATIONS.inc()
            self._revoked(revocation_of(message.revocation))
        elif message.report:
            self._report(message.report, message.report_only)
        else:
            self.in_sync = True
            self._synced()
        if message.position:
            self._position = message.position
