"""Settings: existing tables, described by authmysqlrc, authpgsqlrc or authsqliterc."""

from restante.runtime.settings import ServiceSettings


class CourierSqlSettings(ServiceSettings):
    """The modules mysql, pgsql and sqlite."""
