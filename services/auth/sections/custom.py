"""Settings: the modules http and pipe."""

import shlex
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr

from restante.runtime.settings import AbsolutePath, ServiceSettings


def _url(text: str) -> str:
    if text and not text.startswith(("http://", "https://")):
        raise ValueError("expected http://... or https://...")
    return text


def _command(text: str) -> str:
    words = shlex.split(text)
    if text and not words:
        raise ValueError("expected a command")
    return text


class CustomSettings(ServiceSettings):
    """Homemade directories (docs/directory-module.md)."""

    http_module_url: Annotated[str, AfterValidator(_url)] = Field(
        "", description="Module http: the directory's URL, http://... or https://..."
    )
    http_module_token: SecretStr | None = Field(
        None, description="Module http: sent as a bearer token."
    )
    http_module_ca: AbsolutePath | None = Field(
        None, description="Module http: PEM file of the CAs to trust; none trusts the system's."
    )
    http_module_seconds: float = Field(
        4.0, gt=0, le=60, description="Module http: longest wait for an answer."
    )
    http_module_connections: int = Field(
        8, ge=1, le=256, description="Module http: requests at once."
    )
    pipe_command: Annotated[str, AfterValidator(_command)] = Field(
        "", description="Module pipe: the program and its arguments, quoted as in a shell."
    )
    pipe_protocol: Literal["json", "courier"] = Field(
        "json", description="Module pipe: our contract, or that of Courier's authpipe programs."
    )
    pipe_processes: int = Field(2, ge=1, le=64, description="Module pipe: processes at once.")
    pipe_seconds: float = Field(
        4.0, gt=0, le=60, description="Module pipe: longest wait for an answer; then it is killed."
    )
