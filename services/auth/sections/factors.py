"""Settings: second factors, app passwords, sessions of webmail."""

from restante.runtime.settings import ServiceSettings


class FactorSettings(ServiceSettings):
    """Second factors and tokens."""
