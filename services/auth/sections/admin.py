"""Settings: the HTTP door of administration, roles, the audit log, login debugging."""

from pydantic import Field

from restante.runtime.settings import ServiceSettings


class AdminSettings(ServiceSettings):
    """Administration."""

    debug_login: bool = Field(
        False, description="Log every request's way through the modules (Courier's DEBUG_LOGIN)."
    )
