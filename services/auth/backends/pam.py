"""System accounts, as courier's authpam: the user from the name service (NSS), passwords by PAM.

- Names without a domain and names of the default domain; a user's uid lies between two settings,
  and root has no mail whatever they say.
- uid, gid, home and the first field of gecos are those of the system; the Maildir lies below the
  home. System accounts have no quota and no options of their own, DEFAULTOPTIONS holds for them.
- Each protocol is a PAM service of its own ("imap", "pop3", "webmail", "smtp"; by setting others),
  PAM_RHOST is the client's address. A password fits when both pam_authenticate and pam_acct_mgmt
  agree: an account that PAM finds expired or locked is refused like a wrong password.
- Nobody tells us when a password or an account changes: every login asks PAM (Record.reusable).
- What PAM cannot decide (a directory that is away, a module that is missing, hangs or dies) is
  TEMPORARY; so is every error of the name service other than a certain "no such user".

Both are asked in helper processes (pam_pool.py), apart from each other: modules that hang at
passwords do not stop deliveries, which only ask for names.

Unless auth is root, pam_unix checks the password of auth's own user only and refuses all others.
"""

import os
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final

import pam as _library  # noqa: F401 - the helper's; where it is missing this module cannot be used

from restante.model import Account, ErrorKind, MailError
from restante.runtime.log import get_logger
from services.auth.backends.base import Check, ModuleContext, PasswordChange, Record
from services.auth.backends.pam_pool import Fields, HelperPool
from services.auth.names import Login, NameRules
from services.auth.settings import AuthSettings

log = get_logger(__name__)

_SUCCESS: Final = 0
_NO: Final = {
    6: "PAM_PERM_DENIED",
    7: "PAM_AUTH_ERR",
    10: "PAM_USER_UNKNOWN",
    11: "PAM_MAXTRIES",
    12: "PAM_NEW_AUTHTOK_REQD",
    13: "PAM_ACCT_EXPIRED",
    16: "PAM_CRED_EXPIRED",
    27: "PAM_AUTHTOK_EXPIRED",
}
"""Codes that are a decision. Every other one but success says that PAM could not decide."""
_USUAL: Final = (7, 10)  # a wrong password: told as any refused login, and no more
_UNCHANGED: Final = {**_NO, 20: "PAM_AUTHTOK_ERR", 23: "PAM_AUTHTOK_DISABLE_AGING"}
_SERVICE: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_USER_FIELDS: Final = 6
_NAME_HELPERS: Final = 2


class PamBackend:
    """The accounts of the machine."""

    name = "pam"

    def __init__(self, settings: AuthSettings, rules: NameRules) -> None:
        """Starts nothing yet."""
        self._rules = rules
        self._maildir = settings.pam_maildir
        self._uids = range(settings.pam_min_uid, settings.pam_max_uid + 1)
        self._services: Mapping[str, str] = dict(
            pair.split("=", 1) for pair in settings.pam_services
        )
        self._password_service = settings.pam_password_service
        timeout = settings.pam_timeout_seconds
        self.names = HelperPool(
            "the name service", size=_NAME_HELPERS, queue=settings.pam_queue, timeout=timeout
        )
        self.checks = HelperPool(
            "PAM", size=settings.pam_helpers, queue=settings.pam_queue, timeout=timeout
        )

    async def open(self) -> None:
        """Start a helper. Raises MailError(TEMPORARY)."""
        if os.geteuid():
            log.warning("auth is not root: pam_unix checks no password but that of its own user")
        await self.checks.ask(b"", b"ready")

    async def find(self, login: Login) -> Record | None:
        """Return the account of a login. Raises MailError(TEMPORARY)."""
        if login.domain != self._rules.default_domain:
            return None
        # A name whose look-up hangs does not get both helpers.
        answer = await self.names.ask(login.local.encode(), b"find", login.local.encode())
        if answer[0] == b"none":
            return None
        return self._record(login, _user(answer))

    async def check(self, login: Login, record: Record, check: Check) -> bool:
        """Ask PAM. Raises MailError(TEMPORARY) for whatever PAM could not decide."""
        service = self._service(check.service)
        if service is None:
            return False
        answer = await self.checks.ask(
            service,
            b"check",
            service,
            login.local.encode(),
            check.peer.encode("utf-8", "replace").replace(b"\0", b""),
            check.password,
        )
        code = _code(answer)
        if code == _SUCCESS:
            return True
        if code not in _NO:
            text = f"PAM could not decide (code {code})"
            log.warning(text, user=login.address, service=service.decode())
            raise MailError(ErrorKind.TEMPORARY, text)
        if code not in _USUAL:
            log.info("PAM refused", user=login.address, service=service.decode(), code=_NO[code])
        return False

    async def records(self) -> AsyncIterator[Record]:
        """Yield every account whose name can log in. Raises MailError(TEMPORARY)."""
        seen: set[str] = set()
        limits = (str(self._uids.start).encode(), str(self._uids.stop - 1).encode())
        async for page in self.names.stream(b"list", *limits):
            for at in range(0, len(page), _USER_FIELDS):
                user = _user(page[at : at + _USER_FIELDS])
                login = self._login(user[1])
                if login is None or login.local in seen:  # several sources may know a user
                    continue
                seen.add(login.local)
                try:
                    record = self._record(login, user)
                except MailError:
                    continue
                if record is not None:
                    yield record

    async def set_password(self, login: Login, change: PasswordChange) -> bool:
        """Change the password by pam_chauthtok; False where the user is not of this module.

        Raises MailError(CANNOT) where PAM refuses the new password, MailError(TEMPORARY).
        """
        if await self.find(login) is None:
            return False
        service = self._password_service.encode()
        answer = await self.checks.ask(
            service, b"change", service, login.local.encode(), change.old, change.new
        )
        code = _code(answer)
        if code in _UNCHANGED:
            log.info("PAM refused a new password", user=login.address, code=_UNCHANGED[code])
            raise MailError(ErrorKind.CANNOT, "the system refuses this password")
        if code != _SUCCESS:
            text = f"PAM could not change the password (code {code})"
            log.warning(text, user=login.address)
            raise MailError(ErrorKind.TEMPORARY, text)
        return True

    async def close(self) -> None:
        """End the helpers."""
        await self.checks.close()
        await self.names.close()

    def _service(self, protocol: str) -> bytes | None:
        """Return the PAM service of a protocol; None where there can be none of that name."""
        service = self._services.get(protocol)
        if service is None:
            service = self._services.get("*", "{}").replace("{}", protocol)
        return service.encode() if _SERVICE.fullmatch(service) else None

    def _login(self, name: bytes) -> Login | None:
        try:
            login = self._rules.parse(name.decode())
        except (MailError, UnicodeDecodeError):
            return None
        return login if login.local.encode() == name else None

    def _record(self, login: Login, user: Fields) -> Record | None:
        """Return a user's record, None outside the limits. MailError(TEMPORARY) without a home."""
        _, _, uid, gid, home, gecos = user
        if int(uid) not in self._uids:
            return None
        path = Path(os.fsdecode(home))
        if not path.is_absolute() or path == Path("/"):
            raise MailError(ErrorKind.TEMPORARY, "the user has no home")
        account = Account(
            address=login.address,
            uid=int(uid),
            gid=int(gid),
            home=path,
            maildir=path / self._maildir,
            name=gecos.decode("utf-8", "replace").partition(",")[0],
        )
        return Record(account, checks=True, reusable=False)  # nobody tells us of changes


def _user(answer: Fields) -> Fields:
    if answer[0] != b"user" or len(answer) != _USER_FIELDS:
        number = answer[1].decode("ascii", "replace") if len(answer) > 1 else "?"
        text = f"the name service failed (error {number})"
        log.warning(text)
        raise MailError(ErrorKind.TEMPORARY, text)
    return answer


def _code(answer: Fields) -> int:
    if answer[0] != b"code":
        raise MailError(ErrorKind.TEMPORARY, "PAM did not answer")
    return int(answer[1])


def make(settings: AuthSettings, context: ModuleContext) -> PamBackend:
    """Return the module "pam"."""
    return PamBackend(settings, context.rules)
