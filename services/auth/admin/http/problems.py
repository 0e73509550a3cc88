"""Errors as application/problem+json (RFC 9457), with the ErrorKind beside the status."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

from restante.model import ErrorKind, MailError

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER: Final = "5"  # seconds

STATUS: Final[Mapping[ErrorKind, int]] = {
    ErrorKind.AUTH_FAILED: 401,
    ErrorKind.DISABLED: 403,
    ErrorKind.PRIVACY_REQUIRED: 403,
    ErrorKind.PERMISSION: 403,
    ErrorKind.NO_SUCH_USER: 404,
    ErrorKind.NO_SUCH_FOLDER: 404,
    ErrorKind.NOT_FOUND: 404,
    ErrorKind.GONE: 404,
    ErrorKind.ALREADY_EXISTS: 409,
    ErrorKind.IN_USE: 409,
    ErrorKind.CANNOT: 409,
    ErrorKind.BAD_REQUEST: 400,
    ErrorKind.TOO_LARGE: 413,
    ErrorKind.LIMIT: 429,
    ErrorKind.OVER_QUOTA: 507,
    ErrorKind.TEMPORARY: 503,
    ErrorKind.CORRUPT: 500,
    ErrorKind.INTERNAL: 500,
}


class Problem(BaseModel):
    """Why a request was not done (RFC 9457)."""

    type: str = Field("about:blank", description="Always about:blank: `kind` tells problems apart.")
    title: str = Field(description="The status in words.", examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(description="What is wrong, for people.", examples=["no domain x.test"])
    kind: str = Field(description="What is wrong, for programs.", examples=["not_found"])


def problem(
    status: int, kind: ErrorKind, detail: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Return the answer to a request that was not done."""
    body = Problem(
        type="about:blank",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        kind=kind.value,
    )
    more: dict[str, str] = dict(headers or {})
    if status == 401:
        more["WWW-Authenticate"] = "Bearer"
    if status == 503:
        more["Retry-After"] = RETRY_AFTER
    return JSONResponse(body.model_dump(), status, headers=more, media_type=MEDIA_TYPE)


def problem_of(error: MailError) -> JSONResponse:
    """Return the answer for an error of ours."""
    return problem(STATUS[error.kind], error.kind, error.text)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what FastAPI shall say of these statuses; 400, 401, 403 and 503 are always there."""
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: schema}}
        for status in sorted({400, 401, 403, 413, 429, 503, *statuses})
    }
