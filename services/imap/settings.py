"""Settings of the IMAP service: RESTANTE_IMAP_<NAME>, beside what all services share."""

from typing import ClassVar, Literal

from pydantic import Field

from restante.runtime.proxy import ProxySettings
from restante.runtime.settings import ListenAddress


class ImapSettings(ProxySettings, env_prefix="RESTANTE_IMAP_"):
    """Defaults suit one machine; every name is in docs/settings.md."""

    proxy_default_port: ClassVar[int] = 143
    proxy_implicit_port: ClassVar[int] = 993

    listen: ListenAddress = Field(
        ListenAddress("127.0.0.1", 1143), description="IMAP, with STARTTLS."
    )
    tls_listen: ListenAddress = Field(
        ListenAddress("127.0.0.1", 1993), description="IMAP over implicit TLS."
    )
    health_listen: ListenAddress = Field(
        ListenAddress("127.0.0.1", 9104), description="/livez, /readyz and /metrics over HTTP."
    )
    tls_required: bool = Field(
        False,
        description="Take no password and no token in clear (LOGINDISABLED, NO"
        " [PRIVACYREQUIRED]); CRAM and SCRAM need no TLS.",
    )
    separator: Literal[".", "/"] = Field(
        ".",
        description='Folder separator: "." with all folders under INBOX., as Courier has it;'
        ' "/" without a prefix.',
    )
    login_timeout: float = Field(
        60, gt=0, le=3600, description="Seconds from connecting to the end of a login."
    )
    idle_timeout: float = Field(
        1800,
        gt=0,
        le=86_400,
        description="Seconds without a command, IDLE included (RFC 3501: at least 30 minutes).",
    )
    keepalive: float = Field(
        150, gt=0, le=3600, description='Seconds between "* OK Still here" in IDLE.'
    )
    max_bad_commands: int = Field(
        20, ge=1, le=1000, description="Bad commands in a row before the connection is closed."
    )
    max_login_failures: int = Field(
        5, ge=1, le=100, description="Failed logins before the connection is closed."
    )
    max_message_size: int = Field(
        64 << 20, ge=1, le=1 << 31, description="Octets of a message given to APPEND."
    )
