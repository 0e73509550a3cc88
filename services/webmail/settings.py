"""Settings of the webmail service: RESTANTE_WEBMAIL_<NAME>, beside what all services share."""

from typing import ClassVar

from pydantic import Field

from restante.runtime.settings import ListenAddress, ServiceSettings


class WebmailSettings(ServiceSettings, env_prefix="RESTANTE_WEBMAIL_"):
    """Defaults suit one machine; every name is in docs/settings.md."""

    max_workers: ClassVar[int | None] = 1

    listen: ListenAddress = Field(
        default=ListenAddress("127.0.0.1", 8080), description="The web pages, HTTP."
    )
    health_listen: ListenAddress = Field(
        default=ListenAddress("127.0.0.1", 9105),
        description="/livez, /readyz and /metrics over HTTP.",
    )
