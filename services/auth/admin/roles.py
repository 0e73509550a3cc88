"""Who calls and what he may: three roles, each bound to some domains or to none."""

from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Final

from restante.model import ErrorKind, MailError


class Right(IntEnum):
    """What a method needs; each includes those before it."""

    LOOK = 1  # read anything but secrets
    MANAGE = 2  # change accounts
    ALL = 3  # change domains, tokens, masters, and what an account means to the system


class Role(Enum):
    """What somebody is. The value is how the table api_tokens and the HTTP door write it."""

    SUPERADMIN = "superadmin"
    DOMAIN_ADMIN = "domain-admin"
    READ_ONLY = "read-only"


_RIGHTS: Final = {
    Role.SUPERADMIN: Right.ALL,
    Role.DOMAIN_ADMIN: Right.MANAGE,
    Role.READ_ONLY: Right.LOOK,
}


@dataclass(frozen=True, slots=True)
class Caller:
    """An administrator. `domains` bind him; None does not."""

    name: str  # for the audit log: "admin token", "token NAME", "certificate NAME"
    role: Role
    domains: frozenset[str] | None = None

    def may(self, right: Right) -> bool:
        """True where his role has the right."""
        return _RIGHTS[self.role] >= right

    def need(self, right: Right, what: str = "do this") -> None:
        """Raise MailError(PERMISSION) where his role lacks the right."""
        if not self.may(right):
            raise MailError(ErrorKind.PERMISSION, f"the role {self.role.value} may not {what}")

    def need_domain(self, domain: str) -> None:
        """Raise MailError(PERMISSION) where he is bound to other domains."""
        if self.domains is not None and domain not in self.domains:
            raise MailError(ErrorKind.PERMISSION, "this is not one of your domains")
