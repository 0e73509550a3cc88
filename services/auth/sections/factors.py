"""Settings: second factors, app passwords, sessions of webmail."""

from pydantic import Field, SecretStr

from restante.runtime.settings import CommaList, ServiceSettings


class FactorSettings(ServiceSettings):
    """Second factors and tokens."""

    secret: SecretStr | None = Field(
        None,
        min_length=16,
        description="Seals second factors; one for all replicas; without it DATA/auth/secret.",
    )
    web_timeout_soft: int = Field(
        1200, ge=60, description="Seconds until an unused webmail session ends (TIMEOUTSOFT)."
    )
    web_timeout_hard: int = Field(
        7200, ge=60, description="Seconds until any webmail session ends (TIMEOUTHARD)."
    )
    factor_name: str = Field(
        default_factory=lambda done: done["hostname"],
        description="Our name in authenticator apps and passkey dialogs.",
    )
    passkey_domain: str = Field(
        default_factory=lambda done: done["hostname"],
        description="Domain that passkeys belong to (WebAuthn rp id); changed, all are lost.",
    )
    passkey_origins: CommaList = Field(
        default_factory=lambda done: (f"https://{done['passkey_domain']}",),
        description="Pages that may use passkeys: https://mail.example.org,...",
    )
