"""Settings: the module pam."""

from restante.runtime.settings import ServiceSettings


class PamSettings(ServiceSettings):
    """System accounts."""
