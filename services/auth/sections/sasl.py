"""Settings: SASL mechanisms, OAuth issuers, master users."""

import ipaddress
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from restante.runtime.settings import CommaList, ServiceSettings


def _url(text: str) -> str:
    """An address that a token may be trusted by: https, or http on this machine."""
    parts = urlsplit(text)
    if parts.scheme == "https" and parts.hostname:
        return text
    if parts.scheme == "http" and _is_here(parts.hostname or ""):
        return text
    raise ValueError("expected https://, or http:// on this machine")


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _words(value: object) -> object:
    return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value


Url = Annotated[str, AfterValidator(_url)]


class SaslSettings(ServiceSettings):
    """Ways to log in without a plain password."""

    derive: Annotated[tuple[Literal["scram-sha-256", "cram-md5"], ...], BeforeValidator(_words)] = (
        Field(
            (),
            description="Verifiers kept beside the hash of a password that is set or logs in"
            " (module sql): scram-sha-256, cram-md5. Each is easier to attack than the hash.",
        )
    )
    scram_iterations: int = Field(
        32768, ge=4096, le=10_000_000, description="Iterations of SCRAM verifiers made by us."
    )
    external: bool = Field(
        False, description="A client certificate that IMAP or POP3 verified logs in (EXTERNAL)."
    )
    master_separator: str = Field(
        "*",
        pattern=r"^[*%!#/|]?$",
        description='Between account and master user in a login, "user*admin"; empty switches it'
        " off, PLAIN's authorization identity stays.",
    )
    oauth_issuer: Url | None = Field(
        None, description="Issuer (iss) of the tokens that OAUTHBEARER and XOAUTH2 bring."
    )
    oauth_audience: CommaList = Field(
        (),
        description="Audiences (aud), one of which a token must name; needed with oauth_issuer.",
    )
    oauth_jwks_url: Url | None = Field(
        None, description="The issuer's keys; by default its discovery document says where."
    )
    oauth_user_claim: str = Field(
        "email", min_length=1, description="Claim that names the account."
    )
    oauth_leeway_seconds: int = Field(
        30, ge=0, le=300, description="Difference of clocks that is forgiven."
    )
    oauth_cache_seconds: float = Field(
        3600, ge=10, le=7 * 86400, description="The issuer's keys are read again after this time."
    )
    oauth_refresh_seconds: float = Field(
        30,
        ge=0,
        le=3600,
        description="An unknown key id reads them again, no more often than this.",
    )
    oauth_introspection_url: Url | None = Field(
        None, description="Asked about tokens that are no JWT, or about all without an issuer."
    )
    oauth_client_id: str = Field("", description="Our name at the introspection endpoint.")
    oauth_client_secret: SecretStr | None = Field(None, description="Our secret there.")

    @model_validator(mode="after")
    def _audience_is_told(self) -> Self:
        """A token that the issuer gave for something else must not open mail."""
        if self.oauth_issuer and not self.oauth_audience:
            raise ValueError("RESTANTE_AUTH_OAUTH_ISSUER needs RESTANTE_AUTH_OAUTH_AUDIENCE")
        return self
