"""Settings: the module ldap."""

from restante.runtime.settings import ServiceSettings


class LdapSettings(ServiceSettings):
    """An LDAP directory."""
