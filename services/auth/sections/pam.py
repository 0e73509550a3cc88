"""Settings: the module pam."""

from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, Field

from restante.runtime.settings import CommaList, ServiceSettings

_MAX_ID = 2**32 - 2


def _pairs(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        protocol, equals, service = value.partition("=")
        if not (protocol and equals and service) or "/" in service:
            raise ValueError("expected PROTOCOL=SERVICE,...")
    return values


def _below_home(text: str) -> str:
    path = PurePosixPath(text)
    if path.is_absolute() or not path.parts or ".." in path.parts:
        raise ValueError("expected a path below the home")
    return str(path)


class PamSettings(ServiceSettings):
    """System accounts."""

    pam_services: Annotated[CommaList, AfterValidator(_pairs)] = Field(
        (),
        description="PAM services that are not called as their protocol: imap=mail,*=restante-{}; "
        "* is every other protocol, {} its name.",
    )
    pam_password_service: str = Field(
        "passwd", pattern="^[A-Za-z0-9_.-]{1,64}$", description="PAM service of password changes."
    )
    pam_maildir: Annotated[str, AfterValidator(_below_home)] = Field(
        "Maildir", description="Maildir of a system account, below its home."
    )
    pam_min_uid: int = Field(
        1000, ge=1, le=_MAX_ID, description="Users with a lower uid have no mail."
    )
    pam_max_uid: int = Field(
        60000, ge=1, le=_MAX_ID, description="Users with a higher uid (nobody) have no mail."
    )
    pam_helpers: int = Field(
        4, ge=2, le=64, description="Processes that ask PAM; one service gets all but one of them."
    )
    pam_queue: int = Field(
        64, ge=1, le=10_000, description="Checks that wait for one; more are a temporary failure."
    )
    pam_timeout_seconds: float = Field(
        4.0, ge=0.1, le=300, description="A PAM module that takes longer is killed: temporary."
    )
