"""The listeners of a mail protocol: in clear with STARTTLS, and with TLS from the first byte."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from restante.runtime.address import ListenAddress
from restante.runtime.connection import Connection
from restante.runtime.limits import ConnectionLimits
from restante.runtime.listener import Listener, listen
from restante.runtime.metrics import Gauge
from restante.runtime.settings import IPNetwork
from restante.runtime.tls import TlsContexts


class DoorSettings(Protocol):
    """What the settings of such a service say of its doors."""

    @property
    def listen(self) -> ListenAddress:
        """In clear, with STARTTLS."""

    @property
    def tls_listen(self) -> ListenAddress:
        """With TLS from the first byte; left out where there is no certificate."""

    @property
    def proxy_protocol_from(self) -> tuple[IPNetwork, ...]:
        """Whose connections start with a PROXY header."""


class Doors:
    """The listeners of one worker."""

    def __init__(self, now: Gauge) -> None:
        """`now` is the service's gauge of connections."""
        self.listeners: list[Listener] = []
        now.follow(self, lambda doors: sum(len(one.connections) for one in doors.listeners))

    async def open(
        self,
        settings: DoorSettings,
        factory: Callable[[Listener], Connection],
        *,
        tls: TlsContexts | None,
        limits: ConnectionLimits,
        busy: bytes,
    ) -> None:
        """Listen wherever the settings say. Raises MailError(CANNOT); see `listen`."""
        for address, implicit in ((settings.listen, False), (settings.tls_listen, True)):
            if address and not (implicit and tls is None):
                self.listeners.append(
                    await listen(
                        address,
                        factory,
                        tls=tls,
                        implicit_tls=implicit,
                        limits=limits,
                        proxy_protocol_from=settings.proxy_protocol_from,
                        busy=busy,
                    )
                )

    def connections(self) -> list[Connection]:
        """Return what is open now."""
        return [connection for listener in self.listeners for connection in listener.connections]

    def end_sessions(self, address: str) -> None:
        """End the sessions of an account; "" is every one."""
        for listener in self.listeners:
            listener.end_sessions(address)

    async def drain(self, seconds: float) -> None:
        """Let sessions end within `seconds`."""
        await asyncio.gather(*(listener.drain(seconds) for listener in self.listeners))
