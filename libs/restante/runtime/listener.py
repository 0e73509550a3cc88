"""A listening socket of one worker: accepts, counts, and ends connections."""

import asyncio
import contextlib
import ipaddress
from collections.abc import Callable, Iterable
from typing import Final

from restante.runtime import counters, sockets
from restante.runtime.address import ListenAddress
from restante.runtime.connection import Connection, Peer
from restante.runtime.limits import ConnectionLimits
from restante.runtime.settings import IPNetwork
from restante.runtime.tls import TlsContexts
from restante.runtime.wheel import TimerWheel, wheel_of

_SPREAD: Final = 0.8  # of the time to drain, in which sessions are asked to end
_TURN: Final = 0.1  # seconds between two lots of them
_AT_ONCE: Final = 20  # sessions of one lot at least: few of them need no spreading

ConnectionFactory = Callable[["Listener"], Connection]


class Listener:
    """What the connections of one address share. Made by listen()."""

    def __init__(
        self,
        address: ListenAddress,
        *,
        tls: TlsContexts | None,
        implicit_tls: bool,
        limits: ConnectionLimits,
        proxy_protocol_from: tuple[IPNetwork, ...],
        busy: bytes,
    ) -> None:
        self.address = address  # with the real port
        self.loop = asyncio.get_running_loop()
        self.wheel: TimerWheel = wheel_of(self.loop)
        self.tls = tls
        self.implicit_tls = implicit_tls
        self.limits = limits
        self.busy = busy
        self.draining = False  # sessions that are interrupted look here and say goodbye
        self.connections: set[Connection] = set()
        self.failures = 0  # sessions that ended by a fault of ours
        self._accepted = counters.accepted(unix=address.is_unix, tls=implicit_tls)
        self._networks = proxy_protocol_from
        self._server: asyncio.Server | None = None
        self._empty = asyncio.Event()
        self._empty.set()

    async def drain(self, seconds: float) -> None:
        """Stop accepting, ask every session to end, and cut those that remain after `seconds`.

        Many sessions are asked one after the other over most of that time: their clients come
        back at once, and other replicas must not meet all of them in the same moment.
        """
        self.stop_accepting()
        self.draining = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._interrupt_all(seconds)
                await self._empty.wait()
        for connection in tuple(self.connections):
            connection.cut()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await self._empty.wait()

    async def _interrupt_all(self, seconds: float) -> None:
        waiting = tuple(self.connections)
        turns = max(1, int(seconds * _SPREAD / _TURN))
        together = max(_AT_ONCE, -(-len(waiting) // turns))
        for at in range(0, len(waiting), together):
            if not self.connections:
                return  # the others have gone by themselves
            if at:
                await asyncio.sleep(_TURN)
            for connection in waiting[at : at + together]:
                if connection in self.connections:
                    connection.interrupt()

    def end_sessions(self, user: str) -> None:
        """Revoke the sessions of an account; "" is everybody who has logged in.

        So end those, too, that the account opened as master of another.
        """
        for connection in tuple(self.connections):
            if connection.user and user in ("", connection.user, connection.facts.actor):
                connection.revoke()

    def stop_accepting(self) -> None:
        """Close the listening socket; connections stay."""
        if self._server is not None:
            self._server.close()
            self._server = None

    # --- for connections --------------------------------------------------------------------

    def admit(self, connection: Connection) -> bool:
        """Count a new connection in the total, or say no."""
        if self.draining or not self.limits.acquire_total():
            counters.refused("draining" if self.draining else "total")
            return False
        self._accepted.value += 1
        self.connections.add(connection)
        self._empty.clear()
        return True

    def admit_address(self, connection: Connection) -> bool:
        """Count the connection's peer, once its real address is known, or say no."""
        address = connection.peer.address
        if not self.limits.acquire_address(address):
            counters.refused("address")
            return False
        connection.counted_address = address
        return True

    def dismiss(self, connection: Connection) -> None:
        """Take back what was counted. Harmless when called twice."""
        if connection in self.connections:
            self.connections.discard(connection)
            self.limits.release_total()
            if connection.counted_address:
                self.limits.release_address(connection.counted_address)
            if not self.connections:
                self._empty.set()

    def expects_proxy(self, peer: Peer) -> bool:
        """Say whether the peer is a load balancer that must send a PROXY header."""
        if not self._networks or peer.address == "unix":
            return False
        address = ipaddress.ip_address(peer.address.partition("%")[0])
        return any(address in network for network in self._networks)

    async def serve(self, mode: int, backlog: int) -> None:
        """Bind and accept; called by listen()."""
        sock = sockets.bind(self.address, mode=mode)
        if not self.address.is_unix:
            self.address = ListenAddress(self.address.host, sock.getsockname()[1])
            self._server = await self.loop.create_server(
                lambda: self._factory(self), sock=sock, backlog=backlog
            )
        else:
            self._server = await self.loop.create_unix_server(
                lambda: self._factory(self), sock=sock, backlog=backlog
            )

    _factory: ConnectionFactory


async def listen(
    address: ListenAddress,
    connection_factory: ConnectionFactory,
    *,
    tls: TlsContexts | None = None,
    implicit_tls: bool = False,
    limits: ConnectionLimits | None = None,
    proxy_protocol_from: Iterable[IPNetwork] = (),
    busy: bytes = b"",
    backlog: int = sockets.BACKLOG,
    unix_mode: int = 0o660,
) -> Listener:
    """Start to accept connections on `address`; one object of `connection_factory` for each.

    `busy` is the line of the protocol that a client gets when a limit is hit. `tls` is what
    STARTTLS uses, and with `implicit_tls` every connection from its first byte. Raises
    MailError(CANNOT) when the address cannot be bound.
    """
    if implicit_tls and tls is None:
        raise ValueError("implicit TLS needs a certificate")
    listener = Listener(
        address,
        tls=tls,
        implicit_tls=implicit_tls,
        limits=limits or ConnectionLimits(),
        proxy_protocol_from=tuple(proxy_protocol_from),
        busy=busy,
    )
    listener._factory = connection_factory
    await listener.serve(unix_mode, backlog)
    return listener
