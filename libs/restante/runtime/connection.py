"""One client connection: an asyncio protocol and one task that runs the session.

Invariants:
- Only the session's task calls receive() and drain(); write(), interrupt(), close() and abort()
  may be called by anything on the loop's thread.
- Input waits in one bytes object. Reading from the socket pauses while more than INPUT_HIGH bytes
  wait, so a client that pipelines without end costs at most that plus one read.
- start_tls() forgets every byte that was received before the handshake. It pauses reading and
  swaps the protocol without giving the loop a turn, and the reply written just before it leaves
  in the same turn; so nothing sent in plain text is ever taken for input under TLS (STARTTLS
  injection, CVE-2021-33515). A session must drop its own parser's buffer as well.
- Counts of the connection limits are given back when the task has ended *and* the socket is gone.

An idle connection is this object, its task with the session's frames, one future and the
transport: no timer handle of its own (see wheel.py), no stream buffers.
"""

import asyncio
import ssl
import time
from abc import abstractmethod
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol, cast

from restante.runtime import counters
from restante.runtime.log import get_logger
from restante.runtime.proxy_protocol import MAX_HEADER, parse
from restante.runtime.session_id import next_number, session_id
from restante.runtime.tls import bindings_of, client_name
from restante.runtime.wheel import Timed

if TYPE_CHECKING:
    from restante.runtime.listener import Listener

INPUT_HIGH: Final = 65536  # bytes of unread input above which reading pauses
STALLED_AFTER: Final = 300.0  # seconds a reader may take for one high-water mark of output
LINGER: Final = 30.0  # seconds to send what is left after close()
REVOKED: Final = 0.5  # seconds that a session gets to say goodbye when its account is revoked
PREAMBLE: Final = 20.0  # seconds for the PROXY header; as many for the TLS handshake

_log = get_logger(__name__)


class Interrupted(Exception):  # noqa: N818 - a signal, not an error
    """receive() was woken by interrupt() before anything came."""


@dataclass(slots=True)
class Peer:
    """Who is at the other end, and how."""

    address: str  # an IP address as text, or "unix"
    port: int = 0
    local_address: str = ""
    local_port: int = 0
    tls: bool = False
    tls_info: str = ""  # such as "TLSv1.3 TLS_AES_256_GCM_SHA384"
    tls_object: ssl.SSLObject | None = field(default=None, repr=False)
    certificate: str = ""  # the name in the client's verified certificate
    number: int = field(default_factory=next_number)  # of the connection, for its session id

    @property
    def session(self) -> str:
        """The id that joins the log lines of this connection."""
        return session_id(self.number)

    @property
    def bindings(self) -> dict[str, bytes]:
        """SASL channel binding data by type, empty without TLS; made anew each time."""
        return bindings_of(self.tls_object) if self.tls_object is not None else {}


@dataclass(slots=True)
class Facts:
    """What is shown of a session beside its user and peer (`restante who`)."""

    since: int = 0  # unix seconds of the login
    mechanism: str = ""  # "login", "plain", "scram-sha-256"...
    actor: str = ""  # the master user who came in, "" for the owner
    client: str = ""  # what the client calls itself


_NOTHING: Final = Facts()


class Source(Protocol):
    """Who writes to a connection beside its session."""

    def pause(self) -> None:
        """Write no more for now."""

    def resume(self) -> None:
        """Go on."""


class Connection(asyncio.Protocol, Timed):
    """Base of every protocol's connection; subclasses override run()."""

    __slots__ = (
        "_draining",
        "_ended",
        "_eof",
        "_facts",
        "_input",
        "_interrupted",
        "_listener",
        "_lost",
        "_paused_reading",
        "_paused_writing",
        "_source",
        "_task",
        "_transport",
        "_user",
        "_waiter",
        "counted_address",
        "peer",
        "revoked",
    )

    peer: Peer
    _transport: asyncio.Transport
    _task: asyncio.Task[None] | None
    _waiter: asyncio.Future[None] | None

    def __init__(self, listener: "Listener") -> None:
        super().__init__()
        self._listener = listener
        self._task = None
        self._waiter = None
        self._input = b""
        self._eof = False
        self._lost = False
        self._interrupted = False
        self._paused_reading = False
        self._paused_writing = False
        self._draining = False  # the waiter is drain()'s, not receive()'s
        self._ended = False  # the task is over
        self._user = ""
        self._facts: Facts | None = None
        self._source: Source | None = None
        self.revoked = False  # the session must end: its account is not what it was
        self.counted_address = ""  # what the listener's limits counted; the listener's business

    # --- for sessions -----------------------------------------------------------------------

    @abstractmethod
    async def run(self) -> None:
        """The session; when it returns, the connection is closed."""

    @property
    def listener(self) -> "Listener":
        """The listener that accepted this connection."""
        return self._listener

    @property
    def session(self) -> str:
        """The id that joins the log lines of this connection."""
        return self.peer.session

    @property
    def closed(self) -> bool:
        """True once nothing can be sent any more."""
        return self._lost or self._transport.is_closing()

    async def receive(self, timeout: float | None) -> bytes:
        """Return the next bytes as they came; b"" when the peer has ended or the socket is gone.

        Raises TimeoutError after `timeout` seconds (None: never; rounded up to whole seconds),
        Interrupted when interrupt() was called; that goes before waiting input, which is kept.
        """
        self._check_interrupted()
        if not (self._input or self._eof or self._lost):
            waiter = self._waiter = self._listener.loop.create_future()
            if timeout is not None:
                self._listener.wheel.set(self, timeout)
            try:
                await waiter
            finally:
                self._waiter = None
                self._deadline = 0
            self._check_interrupted()
        data = self._input
        self._input = b""
        if self._paused_reading:
            self._resume_reading()
        return data

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Queue bytes for sending; a bytearray must not be changed afterwards."""
        if not self._lost:
            self._transport.write(data)

    async def drain(self, timeout: float = STALLED_AFTER) -> None:
        """Wait while more than the high-water mark is unsent.

        Raises ConnectionResetError when the peer is gone, TimeoutError when it reads too slowly.
        """
        if self._lost:
            raise ConnectionResetError("connection lost")
        while self._paused_writing:
            waiter = self._waiter = self._listener.loop.create_future()
            self._draining = True
            self._listener.wheel.set(self, timeout)
            try:
                await waiter
            finally:
                self._waiter = None
                self._draining = False
                self._deadline = 0
            if self.closed:
                raise ConnectionResetError("connection lost")

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Do the server's TLS handshake; everything received before it is dropped.

        Write the reply that invites the client just before, without awaiting in between. Raises
        ConnectionError when the handshake fails; the connection is gone then.
        """
        self._input = b""
        self._eof = False
        if self._paused_reading:
            self._resume_reading()
        started = time.perf_counter()
        try:
            transport = await self._listener.loop.start_tls(
                self._transport,
                self,
                context,
                server_side=True,
                ssl_handshake_timeout=PREAMBLE,
            )
        except OSError as error:  # ssl.SSLError and TimeoutError are OSErrors too
            self._transport.abort()
            self._lost = True  # connection_lost() is not called for a failed handshake
            counters.handshake(None, 0)
            raise ConnectionAbortedError(f"TLS handshake failed: {error}") from None
        if transport is None:  # the peer went away just after the handshake
            self._lost = True
            counters.handshake(None, 0)
            raise ConnectionAbortedError("TLS handshake failed")
        self._transport = transport
        tls = transport.get_extra_info("ssl_object")
        cipher = tls.cipher() if tls else None
        counters.handshake(tls.version() if tls else "", time.perf_counter() - started)
        self.peer.tls = True
        self.peer.tls_info = f"{tls.version()} {cipher[0]}" if cipher else ""
        self.peer.tls_object = tls
        if tls and context.verify_mode is not ssl.CERT_NONE:
            self.peer.certificate = client_name(tls)

    def interrupt(self) -> None:
        """Make the pending, or else the next, receive() raise Interrupted."""
        self._interrupted = True
        if not self._draining:
            self._wake()

    def revoke(self) -> None:
        """End the session of an account that must not be served as it was.

        `revoked` says so from now on, receive() raises Interrupted, and a session that has not
        ended REVOKED seconds later is cut.
        """
        if not self.revoked:
            self.revoked = True
            counters.REVOKED_SESSIONS.inc()
            self.interrupt()
            self._listener.loop.call_later(REVOKED, self.cut)

    def relay_from(self, source: "Source") -> None:
        """Somebody writes to this connection as fast as it takes it; see upstream.py."""
        self._source = source

    @property
    def user(self) -> str:
        """The account that acquire_user() counted, "" before."""
        return self._user

    @property
    def facts(self) -> Facts:
        """What was noted of the session; not to be changed."""
        return self._facts or _NOTHING

    def note(self, **facts: str) -> None:
        """Note fields of Facts; each text once in memory, however many sessions say it."""
        if self._facts is None:
            self._facts = Facts()
        for name, value in facts.items():
            setattr(self._facts, name, _shared(value))

    def acquire_user(self, address: str) -> bool:
        """Count this connection as a session of the account, or say no when it has too many.

        Given back by itself when the connection ends.
        """
        if self._user == address:
            return True
        if not self._listener.limits.user_acquire(address):
            counters.refused("user")
            return False
        if self._user:
            self._listener.limits.user_release(self._user)
        self._user = address
        if self._facts is None:
            self._facts = Facts()
        self._facts.since = int(time.time())
        return True

    def close(self) -> None:
        """Send what is queued, then close."""
        self._transport.close()

    def abort(self) -> None:
        """Close at once, whatever is queued."""
        self._transport.abort()

    def cut(self) -> None:
        """End the session now: its task is cancelled and nothing queued is sent."""
        self._transport.abort()
        if self._task is not None:
            self._task.cancel()

    # --- called by the transport and by the wheel -------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection and start its task, or turn it away."""
        self._transport = cast(asyncio.Transport, transport)
        self.peer = _peer_of(self._transport)
        if self._listener.admit(self):
            self._task = self._listener.loop.create_task(self._main())
        else:
            if not self._listener.implicit_tls:
                self._transport.write(self._listener.busy)
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Keep the bytes for receive()."""
        if self._input:
            self._input += data
        else:
            self._input = data
        if len(self._input) > INPUT_HIGH and not self._paused_reading:
            self._paused_reading = True
            self._transport.pause_reading()
        waiter = self._waiter
        if waiter is not None and not self._draining and not waiter.done():
            waiter.set_result(None)

    def eof_received(self) -> bool:
        """Let the session see the end; it may still answer (not under TLS, which cannot)."""
        self._eof = True
        if not self._draining:
            self._wake()
        return not self.peer.tls

    def pause_writing(self) -> None:
        """Output is above the high-water mark."""
        self._paused_writing = True
        if self._source is not None:
            self._source.pause()

    def resume_writing(self) -> None:
        """Output is below the low-water mark."""
        self._paused_writing = False
        if self._source is not None:
            self._source.resume()
        if self._draining:
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        if self._task is None:
            return
        self._lost = True
        self._paused_writing = False
        self._wake()
        if self._ended:
            self._forget()

    def expire(self) -> None:
        """A timeout of receive() or drain(), or the linger time after close()."""
        if self._waiter is None:
            self._transport.abort()
        elif not self._waiter.done():
            self._waiter.set_exception(TimeoutError())

    # --- the task ---------------------------------------------------------------------------

    async def _main(self) -> None:
        try:
            if await self._prepare():
                await self.run()
        except (ConnectionError, TimeoutError, Interrupted, ssl.SSLError) as error:
            _log.debug(
                "connection ended",
                session=self.session,
                peer=self.peer.address,
                reason=str(error),
            )
        except asyncio.CancelledError:
            self._transport.abort()
        except Exception:  # noqa: BLE001 - one failed session must not end the others
            _log.exception(
                "session failed",
                session=self.session,
                peer=self.peer.address,
                user=self._user or None,
            )
            self._listener.failures += 1
            counters.FAILED_SESSIONS.inc()
        finally:
            self._end()

    def _end(self) -> None:
        self._ended = True
        if self._lost:
            self._forget()
        else:
            self._transport.close()
            self._listener.wheel.set(self, LINGER)

    def _forget(self) -> None:
        self._listener.wheel.discard(self)
        if self._user:
            self._listener.limits.user_release(self._user)
            self._user = ""
        self._listener.dismiss(self)

    async def _prepare(self) -> bool:
        """Read the PROXY header and do implicit TLS; False turns the client away."""
        listener = self._listener
        if listener.expects_proxy(self.peer):
            await self._read_proxy_header()
        admitted = listener.admit_address(self)
        if listener.implicit_tls:
            # A client over its limit gets its answer under TLS too: without the handshake it
            # could only show a connection error. The total limit still bounds these.
            await self._implicit_tls()
        if not admitted:
            self.write(listener.busy)
        return admitted

    async def _implicit_tls(self) -> None:
        contexts = self._listener.tls
        if contexts is None:
            raise ConnectionAbortedError("no TLS certificate")
        early = self._input
        if not early:
            await self.start_tls(contexts.context())
            return
        # A PROXY header came in one segment with the ClientHello: what follows the header is for
        # the TLS protocol, which stands under our transport after start_tls's first step. Its
        # connection_made() is queued then, and this goes right behind it, before the next read.
        loop = self._listener.loop
        handshake = loop.create_task(self.start_tls(contexts.context()))
        await asyncio.sleep(0)
        loop.call_soon(_feed, self._transport.get_protocol(), early)
        await handshake

    async def _read_proxy_header(self) -> None:
        data = b""
        deadline = self._listener.loop.time() + PREAMBLE
        while True:
            more = await self.receive(max(0.0, deadline - self._listener.loop.time()))
            if not more:
                raise ConnectionAbortedError("closed before the PROXY header")
            data += more
            try:
                header = parse(data)
            except ValueError as error:
                _log.warning(
                    "bad PROXY header",
                    session=self.session,
                    peer=self.peer.address,
                    reason=str(error),
                )
                raise ConnectionAbortedError("bad PROXY header") from None
            if header is not None:
                break
            if len(data) > MAX_HEADER:
                raise ConnectionAbortedError("PROXY header is too long")
        self._input = data[header.length :] + self._input
        if header.source is not None and header.destination is not None:
            self.peer.address, self.peer.port = header.source
            self.peer.local_address, self.peer.local_port = header.destination

    # --- small helpers ----------------------------------------------------------------------

    def _check_interrupted(self) -> None:
        if self._interrupted:
            self._interrupted = False
            raise Interrupted

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _resume_reading(self) -> None:
        self._paused_reading = False
        if not self._transport.is_closing():
            self._transport.resume_reading()


@lru_cache(maxsize=4096)
def _shared(text: str) -> str:
    return text


def _peer_of(transport: asyncio.Transport) -> Peer:
    name = transport.get_extra_info("peername")
    if not isinstance(name, tuple):
        return Peer("unix")
    local = transport.get_extra_info("sockname")
    return Peer(_plain(name[0]), name[1], _plain(local[0]), local[1])


def _feed(protocol: asyncio.BaseProtocol, data: bytes) -> None:
    """Hand bytes to a buffered protocol as its transport would."""
    buffered = cast(asyncio.BufferedProtocol, protocol)
    while data:
        room = memoryview(buffered.get_buffer(len(data)))
        size = min(len(room), len(data))
        room[:size] = data[:size]
        buffered.buffer_updated(size)
        data = data[size:]


def _plain(address: str) -> str:
    """Return an IPv4 address that came through a dual-stack socket as IPv4."""
    return address[7:] if address.startswith("::ffff:") and "." in address else address
