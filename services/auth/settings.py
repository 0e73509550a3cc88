"""Settings of the auth service: RESTANTE_AUTH_<NAME>. Each section is a class of its own."""

from typing import Annotated, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field

from restante.runtime.settings import ListenAddress
from services.auth.module_names import MODULES
from services.auth.sections.accounts import AccountSettings
from services.auth.sections.admin import AdminSettings
from services.auth.sections.courier_sql import CourierSqlSettings
from services.auth.sections.custom import CustomSettings
from services.auth.sections.doors import DoorSettings
from services.auth.sections.factors import FactorSettings
from services.auth.sections.ldap import LdapSettings
from services.auth.sections.pam import PamSettings
from services.auth.sections.passwords import PasswordSettings
from services.auth.sections.sasl import SaslSettings
from services.auth.sections.sql import SqlSettings
from services.auth.sections.throttle import ThrottleSettings
from services.auth.sections.userdb import UserdbSettings


def _words(value: object) -> object:
    return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value


def _known(modules: tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(name.removeprefix("auth") for name in modules)
    unknown = [name for name in names if name not in MODULES]
    if unknown or not names or len(set(names)) < len(names):
        raise ValueError(f"expected some of: {' '.join(MODULES)}, each once")
    return names


class AuthSettings(
    # The last comes first in docs/settings.md.
    AdminSettings,
    FactorSettings,
    SaslSettings,
    ThrottleSettings,
    PasswordSettings,
    AccountSettings,
    CustomSettings,
    PamSettings,
    LdapSettings,
    CourierSqlSettings,
    UserdbSettings,
    SqlSettings,
    DoorSettings,
    env_prefix="RESTANTE_AUTH_",
):
    """What the auth service reads from its environment."""

    max_workers: ClassVar[int | None] = 1  # one throttle and one cache see every login

    # Here and not in a section: each section brings ServiceSettings' default along.
    health_listen: ListenAddress = Field(
        ListenAddress("127.0.0.1", 9101), description="/livez, /readyz and /metrics over HTTP."
    )
    modules: Annotated[tuple[str, ...], BeforeValidator(_words), AfterValidator(_known)] = Field(
        ("sql",), description=f"Modules in the order they are asked: {' '.join(MODULES)}."
    )
