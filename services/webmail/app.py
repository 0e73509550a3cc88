"""The web application: for now one page that says what is to come."""

from functools import cache
from pathlib import Path
from typing import Final

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse, Response
from starlette.requests import Request

from services.webmail.headers import SecurityHeaders

_STATIC: Final = Path(__file__).parent / "static"
_FILES: Final = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/style.css": ("style.css", "text/css; charset=utf-8"),
}


@cache
def _content(name: str) -> bytes:
    return (_STATIC / name).read_bytes()


def create_app() -> FastAPI:
    """Return the ASGI application."""
    app = FastAPI(title="Restante webmail", openapi_url=None, docs_url=None, redoc_url=None)
    app.add_middleware(SecurityHeaders)

    async def static(request: Request) -> Response:
        name, kind = _FILES[request.url.path]
        return Response(_content(name), media_type=kind)

    for path in _FILES:
        app.add_api_route(path, static, methods=["GET", "HEAD"], response_class=Response)

    @app.exception_handler(404)
    async def not_found(_request: Request, _error: Exception) -> Response:
        return PlainTextResponse("There is nothing here.\n", status_code=404)

    return app
