"""Settings: the HTTP door of administration, the audit log, login debugging."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from restante.runtime.settings import AbsolutePath, ServiceSettings

AuditKind = Literal["logins", "failures", "changes", "reads"]


def _split(value: object) -> object:
    if isinstance(value, str):
        return tuple(filter(None, (piece.strip() for piece in value.split(","))))
    return value


class AdminSettings(ServiceSettings):
    """Administration."""

    debug_login: bool = Field(
        False, description="Log every request's way through the modules (Courier's DEBUG_LOGIN)."
    )
    audit_table: Annotated[tuple[AuditKind, ...], BeforeValidator(_split)] = Field(
        ("logins", "failures", "changes"),
        description="What the audit table keeps: logins, failures, changes, reads (of admins).",
    )
    audit_days: int = Field(
        90, ge=1, le=3650, description="Time that the audit table keeps its rows."
    )
    audit_file: AbsolutePath | None = Field(
        None, description="File of JSON lines for the audit log; else the service's log has them."
    )
