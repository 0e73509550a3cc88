"""Settings: the modules http and pipe."""

from restante.runtime.settings import ServiceSettings


class CustomSettings(ServiceSettings):
    """Homemade directories."""
