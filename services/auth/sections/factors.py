"""Settings: second factors, app passwords, sessions of webmail."""

from pydantic import Field, SecretStr

from restante.runtime.settings import ServiceSettings


class FactorSettings(ServiceSettings):
    """Second factors and tokens."""

    secret: SecretStr | None = Field(
        None,
        min_length=16,
        description="Seals second factors; one for all replicas; without it DATA/auth/secret.",
    )
