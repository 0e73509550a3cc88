"""How the names that stand in userdb and the logins of clients go together."""

from dataclasses import dataclass

from restante.userdb import source
from services.auth.names import Login


@dataclass(frozen=True, slots=True)
class UserdbNames:
    """The rules, which are those of all modules."""

    default_domain: str = ""  # of names without one
    fold_case: bool = True

    def address(self, name: str) -> str:
        """Return the canonical address of a name as it stands in userdb."""
        local, at, domain = name.strip().rpartition("@")
        if not at:
            local, domain = name.strip(), self.default_domain
        local = local.lower() if self.fold_case else local
        return f"{local}@{domain.lower()}" if domain else local

    def address_of(self, key: bytes) -> str:
        """Return the canonical address of a key of an index."""
        return self.address(key.decode("utf-8", "surrogateescape"))

    def keys(self, login: Login) -> list[bytes]:
        """Return the names that a login may stand under in an index, the usual one first."""
        keys = [login.address]
        if login.domain and login.domain == self.default_domain:
            keys.append(login.local)
        # What finds names by uid is no account, whoever logs in as "1001=".
        wanted = (key for key in keys if not source.is_reverse(key))
        return [key.encode("utf-8", "surrogateescape") for key in wanted]
