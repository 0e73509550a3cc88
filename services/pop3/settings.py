"""Settings of the POP3 service: RESTANTE_POP3_<NAME>, beside what all services share."""

from typing import ClassVar

from pydantic import Field

from restante.runtime.proxy import ProxySettings
from restante.runtime.settings import ListenAddress


class Pop3Settings(ProxySettings, env_prefix="RESTANTE_POP3_"):
    """Defaults suit one machine; every name is in docs/settings.md."""

    proxy_default_port: ClassVar[int] = 110
    proxy_implicit_port: ClassVar[int] = 995

    listen: ListenAddress = Field(ListenAddress("127.0.0.1", 1110), description="POP3, with STLS.")
    tls_listen: ListenAddress = Field(
        ListenAddress("127.0.0.1", 1995), description="POP3 over implicit TLS."
    )
    health_listen: ListenAddress = Field(
        ListenAddress("127.0.0.1", 9103), description="/livez, /readyz and /metrics over HTTP."
    )
    tls_required: bool = Field(
        False,
        description="Take no password and no token in clear: USER and AUTH PLAIN are"
        " refused before STLS; CRAM and SCRAM need no TLS.",
    )
    login_timeout: float = Field(
        60, gt=0, le=3600, description="Seconds from connecting to the end of a login."
    )
    idle_timeout: float = Field(
        600,
        gt=0,
        le=86_400,
        description="Seconds without a command before autologout (RFC 1939: at least 600).",
    )
    login_delay: int = Field(
        0,
        ge=0,
        le=86_400,
        description="Seconds between logins of one account (LOGIN-DELAY); 0 is off.",
    )
    expire: str = Field(
        "never",
        pattern=r"^(never|[0-9]{1,5})$",
        description="What CAPA says of EXPIRE: days that read mail is kept, or never.",
    )
    mark_seen: bool = Field(
        True, description="RETR marks a message as read at the end of the session."
    )
    max_bad_commands: int = Field(
        20, ge=1, le=1000, description="Bad commands in a row before the connection is closed."
    )
    max_login_failures: int = Field(
        5, ge=1, le=100, description="Failed logins before the connection is closed."
    )
