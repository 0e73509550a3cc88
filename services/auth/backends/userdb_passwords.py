"""An owner's new password in userdb: the text is edited, an index is made anew, as Courier does.

The files are those of other programs, too. The new hash is therefore one of crypt(3), which
Courier checks, and what CRAM needs is changed along: contexts of the old password must not go on
opening the account. Fields that hold another password stay: an account may have one per service.
"""

import asyncio
import errno
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from restante.model import ErrorKind, MailError
from restante.runtime import libcrypt
from restante.runtime.log import get_logger
from restante.userdb import edit, source
from restante.userdb.make import locked, made_kinds, make_locked
from restante.wire import hmac_state
from services.auth.backends.base import PasswordChange
from services.auth.backends.userdb_names import UserdbNames
from services.auth.names import Login
from services.auth.passwords import schemes

log = get_logger(__name__)

_NOT_OURS: Final = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT)
_PREFIXES: Final = ("$y$", "$6$")  # the best that this system's libcrypt knows


class KeptSessions:
    """The webmail sessions that changed their passwords, until who watches the files sees it.

    He cannot know who made a change, and would end that session with all others.
    """

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}  # by address

    def take(self, address: str) -> str:
        """Return the session that goes on, "" for none, and forget it."""
        return self._ids.pop(address, "")

    async def during(self, login: Login, change: PasswordChange, work: Callable[[], bool]) -> bool:
        """Run `work`, which changes the files, on a thread. Raises what it raises."""
        if change.keep_session:
            self._ids[login.address] = change.keep_session
        done = False
        try:
            done = await asyncio.to_thread(work)
        finally:
            if not done:
                self._ids.pop(login.address, None)
        return done


def change_password(
    top: Path, names: UserdbNames, login: Login, change: PasswordChange, *, index: bool
) -> bool:
    """Change the text, and with `index` make the indexed files. Blocks, for a hash at least.

    False where the account is not in the text, or the text is not ours to write. Raises
    MailError(TEMPORARY).
    """
    try:
        found = _locate(top, names, login)
        if found is None:
            return False
        path, name = found
        stored = _hash(change)

        def new(old: edit.Fields) -> edit.Fields:
            return new_fields(old, change, stored)

        if not index:
            return edit.change_fields(path, name, new)
        with locked(top):  # first: the text must not change where the index cannot
            if not edit.change_fields(path, name, new):
                return False
            make_locked(top, made_kinds(top))
    except OSError as error:
        log.warning("userdb cannot be changed", path=str(error.filename), reason=error.strerror)
        if error.errno in _NOT_OURS:
            return False
        raise MailError(ErrorKind.TEMPORARY, "userdb cannot be changed") from error
    except MailError as error:
        log.warning("userdb cannot be changed", path=str(top), reason=error.text)
        raise MailError(ErrorKind.TEMPORARY, "userdb cannot be changed") from error
    return True


def new_fields(old: Mapping[str, str | None], change: PasswordChange, stored: str) -> edit.Fields:
    """Return the fields to be set: those that the old password fits; all for an administrator."""
    fields: edit.Fields = {}
    for key, value in old.items():
        kind, is_password = key.removesuffix("pw"), key.endswith("pw")
        if not is_password:
            continue
        _, is_context, digest = kind.partition("hmac-")
        if is_context:
            if digest in hmac_state.NAMES and _was(value, digest, change):
                fields[key] = hmac_state.contexts(digest, change.new)
        elif not change.old or schemes.verify(value or "", change.old):
            fields[key] = stored
            if schemes.clear_of(value or ""):  # CRAM goes on
                service = "" if kind == "system" else f"{kind}-"
                fields[f"{service}hmac-md5pw"] = hmac_state.contexts("md5", change.new)
    if not any("hmac-" not in key for key in fields):
        fields["systempw"] = stored
    return fields


def _was(value: str | None, digest: str, change: PasswordChange) -> bool:
    return not change.old or value == hmac_state.contexts(digest, change.old)


def _hash(change: PasswordChange) -> str:
    for prefix in _PREFIXES:
        setting = libcrypt.new_setting(prefix)
        made = libcrypt.crypt(change.new, setting) if setting else None
        if made is not None:
            return made.decode()
    return change.stored


def _locate(top: Path, names: UserdbNames, login: Login) -> tuple[Path, str] | None:
    """Return the file that has an account, and its name there. Raises OSError."""
    for path in source.files(top):
        for line in source.contents(path).split("\n"):
            name, tab, _ = line.partition("\t")
            if tab and not line.startswith("#") and names.address(name) == login.address:
                return path, name
    return None
