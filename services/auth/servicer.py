"""restante.rpc.auth.v1.Auth over an Authenticator: conversion, errors as statuses, log lines."""

from collections.abc import AsyncIterator
from typing import Any

from grpc import aio

from restante.model import Account, ErrorKind, MailError
from restante.rpc.auth.v1 import auth_pb2, auth_pb2_grpc
from restante.rpc.convert import account_to_message
from restante.rpc.errors import abort
from restante.runtime.log import get_logger
from services.auth import metrics
from services.auth.authenticator import Authenticator
from services.auth.hub import Hub, Replay
from services.auth.mechanisms.base import Attempt
from services.auth.sessions import SessionReports

log = get_logger(__name__)

Context = aio.ServicerContext[Any, Any]


class AuthServicer(auth_pb2_grpc.AuthServicer):
    """The gRPC face of auth."""

    def __init__(
        self, authenticator: Authenticator, hub: Hub, replay: Replay, sessions: SessionReports
    ) -> None:
        """`replay` reads what a Watch that goes on has missed."""
        self._authenticator, self._sessions = authenticator, sessions
        self._hub, self._replay = hub, replay

    async def Authenticate(
        self, request: auth_pb2.AuthenticateRequest, context: Context
    ) -> auth_pb2.AuthenticateResponse:
        """Judge a login."""
        try:
            admission = await self._authenticator.authenticate(attempt_of(request))
        except MailError as error:
            await abort(context, error)
        except Exception:  # noqa: BLE001 - whatever it was, it is no verdict
            await _fault(context)
        return auth_pb2.AuthenticateResponse(
            account=account_to_message(admission.account),
            reusable=admission.match.reusable,
            proof=admission.match.proof,
            actor=admission.actor,
        )

    async def ScramParameters(
        self, request: auth_pb2.ScramParametersRequest, context: Context
    ) -> auth_pb2.ScramParametersResponse:
        """Tell salt and iterations of a SCRAM exchange."""
        try:
            salt, iterations = await self._authenticator.scram_parameters(
                request.user, request.service
            )
        except MailError as error:
            await abort(context, error)
        except Exception:  # noqa: BLE001 - whatever it was, it is no verdict
            await _fault(context)
        return auth_pb2.ScramParametersResponse(salt=salt, iterations=iterations)

    async def ChangePassword(
        self, request: auth_pb2.ChangePasswordRequest, context: Context
    ) -> auth_pb2.ChangePasswordResponse:
        """Set the password of whoever knows the old one."""
        attempt = Attempt(request.user, request.old_password, request.service, request.peer)
        try:
            await self._authenticator.change_password(attempt, request.new_password)
        except MailError as error:
            await abort(context, error)
        except Exception:  # noqa: BLE001 - whatever it was, it is no verdict
            await _fault(context)
        return auth_pb2.ChangePasswordResponse()

    async def ReportSessions(
        self, request: auth_pb2.ReportSessionsRequest, context: Context
    ) -> auth_pb2.ReportSessionsResponse:
        """Take the sessions of a worker."""
        self._sessions.take(request)
        return auth_pb2.ReportSessionsResponse()

    async def Lookup(
        self, request: auth_pb2.LookupRequest, context: Context
    ) -> auth_pb2.LookupResponse:
        """Find an account."""
        try:
            account = await self._authenticator.lookup(request.address, request.session)
        except MailError as error:
            metrics.LOOKUPS.labels(error.kind.value).inc()
            await abort(context, error)
        except Exception:  # noqa: BLE001 - whatever it was, it is no verdict
            await _fault(context)
        metrics.LOOKUPS.labels("ok").inc()
        return auth_pb2.LookupResponse(account=account_to_message(account))

    async def Enumerate(
        self, request: auth_pb2.EnumerateRequest, context: Context
    ) -> AsyncIterator[auth_pb2.EnumerateResponse]:
        """Send every account."""
        try:
            async for account in self._accounts():
                yield auth_pb2.EnumerateResponse(account=account_to_message(account))
        except MailError as error:
            await abort(context, error)
        except Exception:  # noqa: BLE001 - whatever it was, it is no verdict
            await _fault(context)

    async def Watch(
        self, request: auth_pb2.WatchRequest, context: Context
    ) -> AsyncIterator[auth_pb2.WatchResponse]:
        """Tell what is revoked, until either side ends it."""
        try:
            async for response in self._hub.watch(request.position, self._replay):
                yield response
        except MailError as error:
            await abort(context, error)
        except Exception:  # noqa: BLE001 - the stream ends, and that is what the other side needs
            await _fault(context)

    async def _accounts(self) -> AsyncIterator[Account]:
        async for _, record in self._authenticator.chain.records():
            yield record.account


def attempt_of(request: auth_pb2.AuthenticateRequest) -> Attempt:
    """Return the attempt of a request; without a mechanism it is a plain password."""
    return Attempt(
        request.user,
        request.password,
        request.service,
        request.peer,
        request.tls,
        request.mechanism or "plain",
        request.challenge,
        request.authorization,
        request.session,
    )


async def _fault(context: Context) -> None:
    """Answer a fault of ours: TEMPORARY, so that it neither refuses a password nor bounces."""
    log.exception("auth call failed")
    await abort(context, MailError(ErrorKind.TEMPORARY, "internal fault"))
