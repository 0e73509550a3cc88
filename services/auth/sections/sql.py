"""Settings: our own database."""

from typing import Annotated

from pydantic import AfterValidator, Field

from restante.runtime.settings import ServiceSettings
from services.auth.database.engine import database_url
from services.auth.sections.paths import below


def _url(text: str) -> str:
    database_url(text)
    return text


class SqlSettings(ServiceSettings):
    """The database of accounts and of what auth keeps itself."""

    sql_url: Annotated[str, AfterValidator(_url)] = Field(
        default_factory=lambda done: f"sqlite:///{below(done, 'auth', 'accounts.sqlite')}",
        description="Accounts database: sqlite:///PATH (local disk) or postgresql://...",
    )
    sql_threads: int = Field(4, ge=1, le=64, description="Database connections at once.")
