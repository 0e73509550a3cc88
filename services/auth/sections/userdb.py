"""Settings: the module userdb."""

from pydantic import Field

from restante.runtime.settings import AbsolutePath, ServiceSettings
from services.auth.sections.paths import below


class UserdbSettings(ServiceSettings):
    """Courier's userdb."""

    userdb: AbsolutePath = Field(
        default_factory=lambda done: below(done, "auth", "userdb"),
        description="userdb text file or directory of such files.",
    )
    userdb_index: AbsolutePath | None = Field(
        None,
        description="Indexed userdb.dat of makeuserdb, read in place of the text; "
        "userdbshadow.dat lies beside it.",
    )
    userdb_writable: bool = Field(
        True,
        description="Owners may change passwords of userdb, where we may write the text; "
        "the index is made anew.",
    )
