"""The services' door to auth.

One call per login or recipient over a channel that is kept open. Invariant: whatever goes wrong
on the way (no socket, deadline, broken answer) is MailError(TEMPORARY). Only an answer that the
auth service marked itself can be AUTH_FAILED, DISABLED or NO_SUCH_USER.

A call that failed with UNAVAILABLE is tried once more, as soon as the service is back but within
RESTART seconds: so a restart of auth is not noticed, and its absence is told soon enough. All
calls here are safe to repeat.

`watch` follows what auth revokes. While that stream is synced, right passwords are answered from
verdicts.py; without it every login is a call. A session must be counted (Connection.acquire_user)
in the same step in which `authenticate` returns, without an await between: then a revocation is
either seen here, before the session exists, or finds it.
"""

import asyncio
import contextlib
import logging
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from time import perf_counter
from typing import Final, TypeVar

import grpc
from grpc import aio

from restante.model import Account, ErrorKind, MailError, spans
from restante.rpc import metrics
from restante.rpc.admin_client import AdminClient
from restante.rpc.attempt import Admitted, LoginAttempt
from restante.rpc.auth.v1 import auth_pb2, auth_pb2_grpc
from restante.rpc.channel import CHANNEL_OPTIONS, AuthSettings, ClientTls, client_tls
from restante.rpc.convert import account_of
from restante.rpc.errors import error_of
from restante.rpc.revocation import Reason, Revocation
from restante.rpc.sessions import Sessions, parts
from restante.rpc.verdicts import Verdicts
from restante.rpc.watch import SILENCE, Watch

__all__ = [
    "AdminClient",
    "Admitted",
    "AuthClient",
    "ClientTls",
    "LoginAttempt",
    "Reason",
    "Revocation",
]

DEADLINE: Final = 5.0  # seconds
LOOK_EVERY: Final = 5.0  # seconds between two looks at the files of TLS
RESTART: Final = 2.0  # seconds that a call waits for an auth service that just went away
ATTEMPTS: Final = 3  # of a login whose account is revoked while it is checked

_log: Final = logging.getLogger(__name__)
_SERVICE: Final = auth_pb2.DESCRIPTOR.services_by_name["Auth"].full_name
_EVERYTHING: Final = Revocation("", Reason.CHANGED)

_Q = TypeVar("_Q")
_R = TypeVar("_R")


class AuthClient:
    """Asynchronous client; make it inside the loop that uses it, once per worker."""

    def __init__(
        self,
        target: str,
        *,
        tls: ClientTls | None = None,
        deadline: float = DEADLINE,
        verdict_seconds: float = 0.0,
    ) -> None:
        """`target` is "unix:/path" or "host:port"; `deadline` in seconds bounds each call.

        `verdict_seconds`: how long a right password may be answered without a call, 0 for never;
        only after `watch`.
        """
        self._deadline = deadline
        self._target, self._tls = target, tls
        self._channel = self._open()
        self._stub = auth_pb2_grpc.AuthStub(self._channel)
        self.verdicts = Verdicts(verdict_seconds)
        self._watch: Watch | None = None
        self._watching: asyncio.Task[None] | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._reporting: set[asyncio.Task[None]] = set()

    @classmethod
    def by(cls, settings: AuthSettings, *, verdict_seconds: float | None = None) -> "AuthClient":
        """Return the client that a service's settings ask for."""
        seconds = settings.verdict_seconds if verdict_seconds is None else verdict_seconds
        return cls(settings.auth_target, tls=client_tls(settings), verdict_seconds=seconds)

    def watch(
        self,
        revoked: Callable[[Revocation], None] = lambda _: None,
        sessions: Sessions = tuple,
        *,
        service: str = "",
        host: str = "",
    ) -> None:
        """Follow the revocations of auth until `close`; once per client.

        `revoked` is called for each, after its verdicts are dropped, and with everything CHANGED
        when some may have been missed. It must not block or raise.

        `sessions` returns what this worker holds, for `restante who`; `service` and `host` stand
        beside each.
        """
        worker = f"{service}@{host}/{os.getpid()}/{secrets.token_hex(8)}"

        metrics.SYNCED.follow(self.verdicts, lambda verdicts: verdicts.is_open)
        metrics.VERDICTS.follow(self.verdicts, len)

        def tell(revocation: Revocation) -> None:
            self.verdicts.revoke(revocation)
            revoked(revocation)

        def broken() -> None:
            metrics.BREAKS.inc(self.verdicts.is_open)
            self.verdicts.close()
            tell(_EVERYTHING)

        def report(request: str, only: str) -> None:
            held = parts(sessions(), only, service=service, host=host)
            task = asyncio.get_running_loop().create_task(self._send(request, worker, held))
            self._reporting.add(task)
            task.add_done_callback(self._reporting.discard)

        self._watch = watch = Watch(
            self._stub, revoked=tell, synced=self.verdicts.open, broken=broken, report=report
        )
        self._watching = asyncio.get_running_loop().create_task(watch.run())
        if self._tls is not None:
            self._renewing = asyncio.get_running_loop().create_task(self._renew(self._tls))

    async def check(self) -> None:
        """Pass while auth answers and misses no change. MailError(TEMPORARY); after `watch`."""
        if self._watch is None or not self._watch.in_sync:
            raise MailError(ErrorKind.TEMPORARY, "cannot be reached, or has lost its database")

    async def authenticate(
        self,
        user: str,
        password: str,
        *,
        service: str,
        peer: str = "",
        tls: bool = False,
        mechanism: str = "plain",
    ) -> Account:
        """Check a password. Raises MailError(AUTH_FAILED | DISABLED | TEMPORARY).

        `password` may hold surrogate escapes for bytes that are not UTF-8. `peer` is the mail
        client's IP address: failed logins are slowed per user and peer.
        """
        try:
            secret = password.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:  # another lone surrogate: no such password can exist
            raise MailError(ErrorKind.AUTH_FAILED) from None
        attempt = LoginAttempt(user, secret, service, peer, tls, mechanism)
        return (await self.admit(attempt)).account

    async def admit(self, attempt: LoginAttempt) -> Admitted:
        """Judge a login by any mechanism. Raises MailError(AUTH_FAILED | DISABLED | TEMPORARY)."""
        verdicts = self.verdicts
        key = b""
        if verdicts.usable and attempt.is_password:
            key = verdicts.key(
                attempt.user,
                attempt.secret.decode("utf-8", "surrogateescape"),
                service=attempt.service,
                tls=attempt.tls,
                mechanism=attempt.mechanism,
            )
            known = verdicts.get(key)
            if known is not None:
                return Admitted(known)
        elif attempt.is_password:
            metrics.CLOSED.inc()
        try:
            request = auth_pb2.AuthenticateRequest(
                user=attempt.user,
                password=attempt.secret,
                service=attempt.service,
                peer=attempt.peer,
                tls=attempt.tls,
                mechanism=attempt.mechanism,
                challenge=attempt.challenge,
                authorization=attempt.authorization,
                session=attempt.session,
            )
        except ValueError:  # a lone surrogate: no such name can exist
            raise MailError(ErrorKind.AUTH_FAILED) from None
        # A proof answers a challenge that was made once: it is not judged twice.
        for _ in range(ATTEMPTS if attempt.is_password else 1):
            with verdicts.asking() as flight:
                answer = await self._call(self._stub.Authenticate, request)
            account = account_of(answer.account)
            if not (flight.ended(account.address) or (answer.actor and flight.ended(answer.actor))):
                if key and answer.reusable:
                    verdicts.put(key, account, flight)
                return Admitted(account, answer.actor, answer.proof)
        raise MailError(ErrorKind.TEMPORARY, "the account is being changed")

    async def scram_parameters(
        self, user: str, *, mechanism: str, service: str, peer: str = "", session: str = ""
    ) -> tuple[bytes, int]:
        """Return salt and iterations of a SCRAM exchange; a user who does not exist has some, too.

        Raises MailError(TEMPORARY), or AUTH_FAILED where auth does not offer SCRAM.
        """
        try:
            request = auth_pb2.ScramParametersRequest(
                user=user, mechanism=mechanism, service=service, peer=peer, session=session
            )
        except ValueError:
            raise MailError(ErrorKind.AUTH_FAILED) from None
        answer = await self._call(self._stub.ScramParameters, request)
        return answer.salt, answer.iterations

    async def lookup(self, address: str, session: str = "") -> Account:
        """Find an account for delivery. Raises MailError(NO_SUCH_USER | TEMPORARY).

        `session` is the id of the session that asks, for auth's log.

        A disabled account is found too: `Account.disabled` is the caller's to judge.
        """
        try:
            request = auth_pb2.LookupRequest(address=address, session=session)
        except ValueError:
            raise MailError(ErrorKind.NO_SUCH_USER) from None
        return account_of((await self._call(self._stub.Lookup, request)).account)

    async def enumerate(self) -> AsyncIterator[Account]:
        """Yield every account. Raises MailError(TEMPORARY), also midway: then it is incomplete."""
        try:
            async for response in self._stub.Enumerate(auth_pb2.EnumerateRequest()):
                yield account_of(response.account)
        except aio.AioRpcError as error:
            raise _mail_error(error) from None

    def _open(self) -> aio.Channel:
        tls = self._tls
        if tls is None:
            return aio.insecure_channel(self._target, CHANNEL_OPTIONS)
        return aio.secure_channel(
            self._target, tls.credentials(), (*CHANNEL_OPTIONS, *tls.options())
        )

    async def _renew(self, tls: ClientTls) -> None:
        """Open another channel whenever the files of TLS have changed.

        gRPC reads them once. The old channel is closed when its last call must have ended.
        """
        stamp = tls.stamp()
        while True:
            await asyncio.sleep(LOOK_EVERY)
            seen = tls.stamp()
            if seen in (stamp, ()):
                continue
            stamp = seen
            try:
                tls.check()
                channel = self._open()
            except MailError as error:
                _log.warning("tls certificate not loaded, the old one stays: %s", error.text)
                continue
            _log.info("tls certificate loaded again: %s", tls.certificate or tls.ca)
            old, self._channel = self._channel, channel
            self._stub = auth_pb2_grpc.AuthStub(channel)
            if self._watch is not None:
                self._watch.use(self._stub)
            try:
                await asyncio.sleep(self._deadline + RESTART + SILENCE)
            finally:
                await old.close()

    async def close(self) -> None:
        """Close the channel; calls under way end with TEMPORARY."""
        own = (self._watching, self._renewing)
        tasks = {*self._reporting, *(task for task in own if task is not None)}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._channel.close()

    async def _send(
        self, request: str, worker: str, held: AsyncIterator[list[auth_pb2.Session]]
    ) -> None:
        """Report sessions; where that fails auth counts this worker as silent."""
        with contextlib.suppress(aio.AioRpcError):
            async for sessions in held:
                message = auth_pb2.ReportSessionsRequest(
                    request=request, worker=worker, sessions=sessions
                )
                await self._stub.ReportSessions(message, timeout=self._deadline)
            last = auth_pb2.ReportSessionsRequest(request=request, worker=worker, last=True)
            await self._stub.ReportSessions(last, timeout=self._deadline)

    async def _call(self, method: Callable[..., Awaitable[_R]], request: _Q) -> _R:
        started = perf_counter()
        try:
            if not spans.on():
                return await self._ask(method, request)
            with spans.span(f"{_SERVICE}/{metrics.method_of(request)}", "client"):
                return await self._ask(method, request)
        except MailError as error:
            metrics.failed(request, error.kind)
            raise
        finally:
            metrics.SECONDS.labels(metrics.method_of(request)).observe(perf_counter() - started)

    async def _ask(self, method: Callable[..., Awaitable[_R]], request: _Q) -> _R:
        loop = asyncio.get_running_loop()
        give_up = loop.time() + self._deadline
        try:
            return await method(request, timeout=self._deadline, metadata=spans.metadata())
        except aio.AioRpcError as error:
            failure = _mail_error(error)
            left = give_up - loop.time()
            # Ours says "temporary" by a mark and means it: only the transport's fault is retried.
            again = error.code() is grpc.StatusCode.UNAVAILABLE and not _is_ours(error)
            if not again or left <= 0:
                raise failure from None
        metrics.retried(request)
        try:
            return await method(
                request,
                timeout=min(left, RESTART),
                wait_for_ready=True,
                metadata=spans.metadata(),
            )
        except aio.AioRpcError as error:
            raise _mail_error(error) from None


def _is_ours(error: aio.AioRpcError) -> bool:
    return error_of(error.trailing_metadata(), None) is not None


def _mail_error(error: aio.AioRpcError) -> MailError:
    ours = error_of(error.trailing_metadata(), error.details())
    return ours or MailError(ErrorKind.TEMPORARY, "the auth service cannot be reached")
