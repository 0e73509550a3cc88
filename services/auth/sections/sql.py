"""Settings: our own database."""

from typing import Annotated

from pydantic import AfterValidator, Field

from restante.runtime.settings import CommaList, ServiceSettings
from services.auth.database.drivers import Limits, database_url, is_sqlite
from services.auth.sections.paths import below


def _url(text: str) -> str:
    database_url(text)
    return text


def _servers(texts: tuple[str, ...]) -> tuple[str, ...]:
    if any(is_sqlite(database_url(text)) for text in texts):
        raise ValueError("an SQLite file has no replicas")
    return texts


class SqlSettings(ServiceSettings):
    """The database of accounts and of what auth keeps itself."""

    sql_url: Annotated[str, AfterValidator(_url)] = Field(
        default_factory=lambda done: f"sqlite:///{below(done, 'auth', 'accounts.sqlite')}",
        description="Our database: sqlite:///PATH (local disk), postgresql://... or mysql://...",
    )
    sql_read_urls: Annotated[CommaList, AfterValidator(_servers)] = Field(
        (),
        description="Replicas of that server for look-ups; one that lags behind is not believed.",
    )
    sql_threads: int = Field(
        4, ge=1, le=64, description="Connections at once to each database, ours or not."
    )
    sql_connect_seconds: int = Field(3, ge=1, le=60, description="Time to connect to a server.")
    sql_timeout_seconds: int = Field(4, ge=1, le=600, description="Time of one statement.")
    sql_recycle_seconds: int = Field(
        1800, ge=1, description="Age at which a connection is replaced."
    )
    sql_aside_seconds: float = Field(
        10.0, gt=0, le=3600, description="How long a replica that failed is left aside."
    )

    def sql_limits(self) -> Limits:
        """Return what connections are made with."""
        return Limits(
            connections=self.sql_threads,
            connect=self.sql_connect_seconds,
            answer=self.sql_timeout_seconds,
            recycle=self.sql_recycle_seconds,
            aside=self.sql_aside_seconds,
        )
