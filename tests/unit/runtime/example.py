"""A service for tests of the service's life: python -m tests.unit.runtime.example.

Commands, one per connection: "pid", "crash", "hold" (until drained), "deaf" (never ends).
RESTANTE_EXAMPLE_FAULT makes a worker fail: cannot, crash, slow (never gets ready).
"""

import asyncio
import os
import sys

from pydantic import Field

from restante.model import ErrorKind, MailError
from restante.runtime import metrics
from restante.runtime.connection import Connection, Interrupted
from restante.runtime.listener import Listener, listen
from restante.runtime.service import WorkerContext, run_service
from restante.runtime.settings import ListenAddress, ServiceSettings, load

SESSIONS = metrics.Counter("example_sessions_total", "Sessions.")
HELD = metrics.Gauge("example_held", "Sessions that are held.")


class ExampleSettings(ServiceSettings, env_prefix="RESTANTE_EXAMPLE_"):
    """Addresses of the example."""

    listen: ListenAddress = Field(default=ListenAddress("127.0.0.1", 0))
    health_listen: ListenAddress = Field(default=ListenAddress("127.0.0.1", 0))
    fault: str = Field(default="")


class ExampleConnection(Connection):
    """One command per connection."""

    async def run(self) -> None:
        SESSIONS.inc()
        command = await self.receive(30)
        if command == b"crash":
            os._exit(3)
        if command in (b"hold", b"deaf"):
            HELD.inc()
            self.write(b"held %d" % os.getpid())
            if command == b"deaf":
                await asyncio.Event().wait()
            try:
                await self.receive(None)
            except Interrupted:
                self.write(b" bye")
            HELD.dec()
        self.write(b"%d" % os.getpid())


class ExampleService:
    """One listener."""

    def __init__(self, context: WorkerContext[ExampleSettings]) -> None:
        self.context = context
        self.listener: Listener | None = None

    async def start(self) -> None:
        fault = self.context.settings.fault
        if fault == "cannot":
            raise MailError(ErrorKind.CANNOT, "the example cannot")
        if fault == "crash":
            raise RuntimeError("a fault of ours")
        if fault == "slow":
            await asyncio.Event().wait()
        self.listener = await listen(
            self.context.settings.listen,
            ExampleConnection,
            limits=self.context.limits,
            busy=b"busy",
        )

    async def drain(self) -> None:
        assert self.listener is not None
        await self.listener.drain(self.context.settings.drain_seconds)


if __name__ == "__main__":
    sys.exit(run_service("example", load(ExampleSettings), ExampleService))
