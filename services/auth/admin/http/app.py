"""The application: routes, errors, and its OpenAPI document."""

import re
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

import restante
from restante.model import ErrorKind, MailError
from services.auth.admin.http.problems import Problem, problem, problem_of
from services.auth.admin.http.requests import Ask
from services.auth.admin.http.routes_accounts import add_accounts, add_domains, add_security
from services.auth.admin.http.routes_system import add_masters, add_reports, add_tokens

_KINDS = {404: ErrorKind.NOT_FOUND, 413: ErrorKind.TOO_LARGE}
_ABOUT = """Administration of Restante: what the gRPC service `restante.rpc.admin.v1.Admin` does.

Every request carries `Authorization: Bearer TOKEN`: the admin token, or a token of `/v1/tokens`
with its role. A superadmin may do everything; a domain-admin what concerns accounts of his
domains; a read-only one may look. Every change is in the audit log before it is answered.

Errors are `application/problem+json` (RFC 9457); their `kind` tells programs what is wrong. A 503
may be tried again; whether a change that got one was made is not certain.
"""


def create_app(ask: Ask) -> FastAPI:
    """Return the application. `entrance.Entrance` stands before it."""
    app = FastAPI(
        title="Restante administration",
        version=restante.__version__,
        description=_ABOUT,
        docs_url=None,  # these pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    # Only for the document: the entrance has looked at the token before.
    bearer = HTTPBearer(auto_error=False, description="The admin token, or one of /v1/tokens.")
    router = APIRouter(prefix="/v1", dependencies=[Depends(bearer)])
    for add in (add_domains, add_accounts, add_security, add_reports, add_tokens, add_masters):
        add(router, ask)
    app.include_router(router)
    _add_errors(app)
    made = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(made())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # the way that FastAPI documents
    return app


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(MailError)
    async def ours(request: Request, error: MailError) -> JSONResponse:
        return problem_of(error)

    @app.exception_handler(RequestValidationError)
    async def not_understood(request: Request, error: RequestValidationError) -> JSONResponse:
        # Never the input: it may be a password.
        texts = [
            f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
            for fault in error.errors()[:10]
        ]
        text = "; ".join(texts).encode("ascii", "backslashreplace").decode("ascii")
        return problem(400, ErrorKind.BAD_REQUEST, text[:2000])

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        kind = _KINDS.get(error.status_code, ErrorKind.BAD_REQUEST)
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(_allowed(app, request))
        return problem(error.status_code, kind, str(error.detail), headers)

    @app.exception_handler(Exception)
    async def fault(request: Request, error: Exception) -> JSONResponse:
        return problem(500, ErrorKind.INTERNAL, "internal fault")


def _allowed(app: FastAPI, request: Request) -> list[str]:
    """Return the methods of a path: the router itself names those of one route only."""
    paths: dict[str, dict[str, Any]] = app.openapi()["paths"]
    found: set[str] = set()
    for path, operations in paths.items():
        if re.fullmatch(re.sub(r"{\w+}", "[^/]+", path), request.url.path):
            found.update(method.upper() for method in operations)
    return sorted(found)


def _document(schema: dict[str, Any]) -> dict[str, Any]:
    """Return FastAPI's document as we answer: 400 for what it calls 422."""
    schemas = schema["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    for path in schema["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
    return schema
