"""Settings: how names are read, and what accounts get that say nothing themselves."""

import os
from typing import Annotated

from pydantic import AfterValidator, Field

from restante.model import MailError, Options
from restante.runtime.settings import ServiceSettings
from services.auth.names import domain_name


def _options(text: str) -> str:
    return str(Options.parse(text))


def _domain(text: str) -> str:
    try:
        return domain_name(text) if text else ""
    except MailError as error:
        raise ValueError(error.text) from None


class AccountSettings(ServiceSettings):
    """Names and defaults."""

    default_domain: Annotated[str, AfterValidator(_domain)] = Field(
        "", description="Domain of logins without one."
    )
    fold_case: bool = Field(True, description="Local parts are the same in any case.")
    default_options: Annotated[str, AfterValidator(_options)] = Field(
        "", description="Options of every account that does not set them (DEFAULTOPTIONS)."
    )

    mail_uid: int = Field(
        default_factory=lambda _: os.geteuid(), ge=0, description="Owner of new accounts' mail."
    )
    mail_gid: int = Field(
        default_factory=lambda _: os.getegid(), ge=0, description="Group of new accounts' mail."
    )
