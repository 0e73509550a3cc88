"""What each method of Admin needs, and what the audit log says of it: one row per method.

A method without a row answers nobody; a test holds the table against the proto.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from services.auth.admin.roles import Right

DEADLINE: Final = 30.0  # seconds
_LONG: Final = 600.0  # seconds: removing mail, many accounts


@dataclass(frozen=True, slots=True)
class About:
    """What a request is about, as it says itself: not parsed, not checked."""

    addresses: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    name: str = ""  # of something else, for the audit log
    detail: str = ""

    @property
    def target(self) -> str:
        """What the audit log calls it."""
        return next(filter(None, (*self.addresses, *self.domains)), self.name)


@dataclass(frozen=True, slots=True)
class Rule:
    """One method. `action` is its name in the audit log."""

    action: str
    right: Right
    change: bool
    about: Callable[[Any], About]
    # Callers who are bound to domains may name none: the method shows them only theirs.
    narrows: bool = False
    more: Callable[[Any], Right] | None = None  # what some requests need beyond `right`
    seconds: float = DEADLINE


def _nothing(_: Any) -> About:
    return About()


def _domain(request: Any) -> About:
    return About(domains=(request.name,))


def _given_domain(request: Any) -> About:
    return About(domains=(request.domain.name,), detail=_masked(request))


def _address(request: Any) -> About:
    words = [
        word
        for word in ("dry_run", "purge_mail", "clear", "update", "create_domains")
        if getattr(request, word, False)
    ]
    return About(addresses=(request.address,), detail=" ".join(words))


def _given_account(request: Any) -> About:
    return About(addresses=(request.account.address,), detail=_masked(request))


def _either(request: Any) -> About:
    return About(
        tuple(filter(None, (request.address,))),
        tuple(filter(None, (request.domain,))),
        detail=getattr(request, "action", ""),
    )


def _filter(request: Any) -> About:
    return About(domains=tuple(filter(None, (request.domain,))))


def _many(request: Any) -> About:
    addresses = tuple(given.account.address for given in request.accounts)
    words = [f"{len(addresses)} accounts", *_address_words(request)]
    return About(addresses, detail=" ".join(words))


def _address_words(request: Any) -> list[str]:
    return [word for word in ("dry_run", "update", "create_domains") if getattr(request, word)]


def _token(request: Any) -> About:
    return About(name=request.token.name)


def _token_id(request: Any) -> About:
    return About(name=request.id)


def _master(request: Any) -> About:
    return About(addresses=(request.master.address,), detail=" ".join(request.master.domains))


def _app_password(request: Any) -> About:
    return About(addresses=(request.address,), detail=request.id)


def _login(request: Any) -> About:
    words = [word for word in ("password", "new_password", "show_hash") if getattr(request, word)]
    return About(addresses=(request.user,), detail=" ".join(words))


def _login_needs(request: Any) -> Right:
    if request.show_hash:
        return Right.ALL
    return Right.MANAGE if request.password or request.new_password else Right.LOOK


def _masked(request: Any) -> str:
    mask = getattr(request, "update_mask", None)
    return ",".join(mask.paths) if mask is not None else ""


RULES: Final[Mapping[str, Rule]] = {
    "CreateDomain": Rule("domain.create", Right.ALL, True, _given_domain),
    "GetDomain": Rule("domain.get", Right.LOOK, False, _domain),
    "ListDomains": Rule("domain.list", Right.LOOK, False, _nothing, narrows=True),
    "UpdateDomain": Rule("domain.update", Right.ALL, True, _given_domain),
    "DeleteDomain": Rule("domain.delete", Right.ALL, True, _domain),
    "CreateAccount": Rule("account.create", Right.MANAGE, True, _given_account),
    "GetAccount": Rule("account.get", Right.LOOK, False, _address),
    "ListAccounts": Rule("account.list", Right.LOOK, False, _filter, narrows=True),
    "UpdateAccount": Rule("account.update", Right.MANAGE, True, _given_account),
    "DeleteAccount": Rule("account.delete", Right.MANAGE, True, _address, seconds=_LONG),
    "ImportAccounts": Rule("account.import", Right.ALL, True, _many, seconds=_LONG),
    "SetPassword": Rule("account.password", Right.MANAGE, True, _address),
    "Kick": Rule("account.kick", Right.MANAGE, True, _address),
    "ListSessions": Rule("session.list", Right.LOOK, False, _either, narrows=True),
    "TestLogin": Rule("login.test", Right.LOOK, True, _login, more=_login_needs),
    "CreateToken": Rule("token.create", Right.ALL, True, _token),
    "ListTokens": Rule("token.list", Right.ALL, False, _nothing),
    "DeleteToken": Rule("token.delete", Right.ALL, True, _token_id),
    "CreateMaster": Rule("master.create", Right.ALL, True, _master),
    "ListMasters": Rule("master.list", Right.ALL, False, _nothing),
    "DeleteMaster": Rule("master.delete", Right.ALL, True, _address),
    "GetSecurity": Rule("account.security", Right.LOOK, False, _address),
    "ResetSecondFactor": Rule("account.second_factor.reset", Right.MANAGE, True, _address),
    "DeleteAppPassword": Rule("account.app_password.delete", Right.MANAGE, True, _app_password),
    "ListAudit": Rule("audit.list", Right.LOOK, False, _either, narrows=True),
}
