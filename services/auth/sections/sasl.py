"""Settings: SASL mechanisms, OAuth issuers, master users."""

from restante.runtime.settings import ServiceSettings


class SaslSettings(ServiceSettings):
    """Ways to log in without a plain password."""
