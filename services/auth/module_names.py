"""The modules of accounts, by the name that RESTANTE_AUTH_MODULES uses, and where each lies.

Courier's names ("authuserdb") mean the same.
"""

from typing import Final

MODULES: Final = {
    "sql": "services.auth.backends.sql",
    "mysql": "services.auth.backends.courier_sql_mysql",
    "pgsql": "services.auth.backends.courier_sql_pgsql",
    "sqlite": "services.auth.backends.courier_sql_sqlite",
    "pam": "services.auth.backends.pam",
    "userdb": "services.auth.backends.userdb",
    "ldap": "services.auth.backends.ldap",
    "http": "services.auth.backends.http",
    "pipe": "services.auth.backends.pipe",
}
