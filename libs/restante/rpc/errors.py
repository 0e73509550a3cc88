"""MailError <-> gRPC status.

A status code is coarser than ErrorKind, so the exact kind travels as trailing metadata
"restante-kind". A status without that mark did not come from our own code: it is a fault of the
transport or of the other process, hence TEMPORARY, whatever its code says. So an unreachable
or confused auth service can neither refuse a password nor bounce mail.
"""

from collections.abc import Iterable
from typing import Final, NoReturn

import grpc
from grpc import aio

from restante.model import ErrorKind, MailError

KIND_KEY: Final = "restante-kind"

_STATUS: Final = {
    ErrorKind.AUTH_FAILED: grpc.StatusCode.UNAUTHENTICATED,
    ErrorKind.DISABLED: grpc.StatusCode.PERMISSION_DENIED,
    ErrorKind.PRIVACY_REQUIRED: grpc.StatusCode.PERMISSION_DENIED,
    ErrorKind.PERMISSION: grpc.StatusCode.PERMISSION_DENIED,
    ErrorKind.NO_SUCH_USER: grpc.StatusCode.NOT_FOUND,
    ErrorKind.NO_SUCH_FOLDER: grpc.StatusCode.NOT_FOUND,
    ErrorKind.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    ErrorKind.GONE: grpc.StatusCode.NOT_FOUND,
    ErrorKind.ALREADY_EXISTS: grpc.StatusCode.ALREADY_EXISTS,
    ErrorKind.CANNOT: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorKind.IN_USE: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorKind.BAD_REQUEST: grpc.StatusCode.INVALID_ARGUMENT,
    ErrorKind.TOO_LARGE: grpc.StatusCode.INVALID_ARGUMENT,
    ErrorKind.LIMIT: grpc.StatusCode.RESOURCE_EXHAUSTED,
    ErrorKind.OVER_QUOTA: grpc.StatusCode.RESOURCE_EXHAUSTED,
    ErrorKind.TEMPORARY: grpc.StatusCode.UNAVAILABLE,
    ErrorKind.CORRUPT: grpc.StatusCode.DATA_LOSS,
    ErrorKind.INTERNAL: grpc.StatusCode.INTERNAL,
}


def status_of(error: MailError) -> tuple[grpc.StatusCode, str, tuple[tuple[str, str], ...]]:
    """Return (code, details, trailing metadata) that carry `error`."""
    return _STATUS[error.kind], error.text, ((KIND_KEY, error.kind.value),)


async def abort(context: aio.ServicerContext[object, object], error: MailError) -> NoReturn:
    """End a server-side call with the status of `error`."""
    code, details, trailing = status_of(error)
    await context.abort(code, details, trailing)


def error_of(
    trailing: Iterable[tuple[str, str | bytes]] | None, details: str | None
) -> MailError | None:
    """Return the MailError in a call's trailing metadata, None where no mark of ours is there."""
    for key, value in trailing or ():
        if key == KIND_KEY:
            try:
                kind = ErrorKind(value if isinstance(value, str) else value.decode())
            except ValueError:
                return MailError(ErrorKind.TEMPORARY, "an unknown kind of error")
            return MailError(kind, details or "")
    return None
