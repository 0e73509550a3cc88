"""Settings of the delivery service: RESTANTE_DELIVERY_<NAME>, beside what all services share."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr

from restante.runtime.settings import AbsolutePath, ListenAddress, Networks, ServiceSettings


def _number(value: object) -> object:
    return int(value) if isinstance(value, str) and value.isdigit() else value


class DeliverySettings(ServiceSettings, env_prefix="RESTANTE_DELIVERY_"):
    """Defaults suit one machine; every name is in docs/settings.md."""

    lmtp_listen: ListenAddress = Field(
        ListenAddress("127.0.0.1", 2424), description="LMTP, with STARTTLS; also unix:PATH."
    )
    http_listen: ListenAddress = Field(
        ListenAddress("127.0.0.1", 8025), description="The HTTP hook."
    )
    health_listen: ListenAddress = Field(
        ListenAddress("127.0.0.1", 9102), description="/livez, /readyz and /metrics over HTTP."
    )
    http_token: SecretStr | None = Field(
        None,
        min_length=16,
        description="Bearer token of the HTTP hook; without one, DATA/run/delivery.token is made.",
    )
    http_certificate: AbsolutePath | None = Field(
        None, description="PEM certificate chain of the HTTP hook; without one it is in clear."
    )
    http_key: AbsolutePath | None = Field(None, description="PEM key of http_certificate.")
    http_tls: bool = Field(
        False, description="HTTP hook with TLS, by RESTANTE_TLS_CERTIFICATE where it has no own."
    )
    max_message_size: int = Field(
        64 << 20, ge=1024, le=1 << 31, description="Octets of a message, by either hook."
    )
    max_recipients: int = Field(
        1000, ge=1, le=100_000, description="Recipients of one message (RFC 5321: at least 100)."
    )
    over_quota: Annotated[Literal[452, 552], BeforeValidator(_number)] = Field(
        452, description="Reply for a full mailbox: 452 keeps mail in the sender's queue, 552 not."
    )
    ignore_quota: bool = Field(
        True, description="Offer IGNOREQUOTA, which exim sends with ignore_quota = true."
    )
    disabled_accounts: Literal["accept", "refuse", "defer"] = Field(
        "accept", description="What mail for a disabled account meets: 250, 550 or 451."
    )
    bare_newlines: Literal["accept", "refuse"] = Field(
        "accept", description="A CR or LF alone in a message: kept as data, or 550."
    )
    subaddress_separators: str = Field(
        "+", max_length=4, description="Characters between user and detail; empty is off."
    )
    subaddress_folders: bool = Field(
        False, description="Mail for user+detail goes into the folder detail where there is one."
    )
    lookup_cache: float = Field(
        2.0,
        ge=0,
        le=300,
        description="Seconds that the answer about a recipient is kept; 0 is off.",
    )
    trusted_peers: Networks = Field(
        (), description="Networks that may use XCLIENT; a unix socket always may."
    )
    tls_required: bool = Field(False, description="LMTP takes no mail over TCP before STARTTLS.")
    idle_timeout: float = Field(
        300, gt=0, le=86_400, description="Seconds of silence before an LMTP client is cut off."
    )
    max_bad_commands: int = Field(
        20, ge=1, le=1000, description="Bad commands in a row before the connection is closed."
    )
