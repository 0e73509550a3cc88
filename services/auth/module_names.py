"""The modules of accounts, by the name that RESTANTE_AUTH_MODULES uses, and where each lies.

Courier's names ("authuserdb") mean the same.
"""

from typing import Final

MODULES: Final = {
    "sql": "services.auth.backends.sql",
    "pam": "services.auth.backends.pam",
    "userdb": "services.auth.backends.userdb",
    "ldap": "services.auth.backends.ldap",
}
