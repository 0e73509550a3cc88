"""Courier's authpipe programs, which speak authdaemond's protocol on their standard files.

Questions: "PRE . service user", "AUTH <length>" and that many bytes "service, login, user,
password" in lines, "PASSWD service<TAB>user<TAB>old<TAB>new", "ENUMERATE". Answers: "KEY=value"
lines and ".", or "FAIL"; "OK" or "FAIL" for PASSWD; rows and "." for ENUMERATE, comments and blank
lines between them. A program that ends without an answer has a temporary failure.

Passwords are always checked by the program. One that cannot be written in a line fits nothing.
"""

import asyncio
import pwd
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Final

from restante.model import Account, ErrorKind, MailError, Options, Quota
from restante.runtime.log import get_logger
from services.auth.backends.base import Check, PasswordChange, Record
from services.auth.backends.directory_contract import MAX_ANSWER, away
from services.auth.backends.pipe_children import Child, ChildError, ChildPool
from services.auth.names import Login, NameRules

log = get_logger(__name__)

_MAX_LINE: Final = 8191  # bytes with the end of the line, as authdaemond's
_MAX_ID: Final = 2**32 - 2
_SERVICE: Final = "login"  # of questions that no service asks, as authtest's


class CourierPipeBackend:
    """The accounts of an authpipe program."""

    name = "pipe"

    def __init__(self, children: ChildPool, rules: NameRules) -> None:
        """Starts nothing yet."""
        self._children, self._rules = children, rules

    async def open(self) -> None:
        """Nothing: children start with the first question."""

    async def find(self, login: Login) -> Record | None:
        """Ask "PRE"."""
        fields = await self._ask(f"PRE . {_SERVICE} {login.address}\n".encode())
        if fields is None:
            return None
        try:
            return await asyncio.to_thread(_record, fields, self._address(fields, login))
        except (ValueError, MailError) as error:
            reason = error.text if isinstance(error, MailError) else str(error)
            raise _wrong(reason) from error

    async def check(self, login: Login, record: Record, check: Check) -> bool:
        """Ask "AUTH"."""
        if not check.password or b"\n" in check.password:
            return False
        user = login.address.encode()
        body = b"\n".join((check.service.encode(), b"login", user, check.password, b""))
        if len(body) > _MAX_LINE:
            return False
        return await self._ask(b"AUTH %d\n%b" % (len(body), body)) is not None

    async def records(self) -> AsyncIterator[Record]:
        """Ask "ENUMERATE"; rows without a uid or gid are left out, as Courier's client does."""
        async with aclosing(self._children.stream(b"ENUMERATE\n")) as lines:
            async for line in lines:
                text = line.decode("utf-8", "surrogateescape").partition("#")[0].rstrip("\r")
                if text == ".":
                    return
                if not text.strip():
                    continue
                try:
                    record = self._row(text.split("\t"))
                except (ValueError, MailError) as error:
                    reason = error.text if isinstance(error, MailError) else str(error)
                    raise _wrong(reason) from error
                if record is not None:
                    yield record

    async def set_password(self, login: Login, change: PasswordChange) -> bool:
        """Ask "PASSWD"; it needs the old password."""
        if not change.old or any(c < 0x20 for c in change.old + change.new):
            return False
        fields = (_SERVICE.encode(), login.address.encode(), change.old, change.new)
        question = b"PASSWD " + b"\t".join(fields) + b"\n"
        if len(question) > _MAX_LINE:
            return False
        if not await self._children.run(partial(_passwd, question), again=False):
            raise MailError(ErrorKind.CANNOT, "the directory refuses this password")
        return True

    async def close(self) -> None:
        """End the children."""
        await self._children.close()

    async def _ask(self, question: bytes) -> Mapping[str, str] | None:
        return await self._children.run(partial(_fields, question), again=True)

    def _address(self, fields: Mapping[str, str], login: Login) -> str:
        given = fields.get("ADDRESS", "")
        return self._rules.parse(given).address if given else login.address

    def _row(self, fields: list[str]) -> Record | None:
        name, uid, gid, home, maildir, options = (*fields, "", "", "", "", "", "")[:6]
        if uid == "0" or gid == "0":
            return None
        values = {"UID": uid, "GID": gid, "HOME": home, "MAILDIR": maildir, "OPTIONS": options}
        return _record(values, self._rules.parse(name).address)


async def _fields(question: bytes, child: Child) -> Mapping[str, str] | None:
    """Return the answer's lines; None for FAIL."""
    child.send(question)
    found: dict[str, str] = {}
    size = 0
    while (line := (await child.line()).rstrip(b"\r")) != b".":
        if line == b"FAIL" and not found:
            return None
        size += len(line)
        key, equals, value = line.decode("utf-8", "surrogateescape").partition("=")
        if not equals or size > MAX_ANSWER:
            raise ChildError("does not speak authpipe's protocol")
        found[key] = value
    return found


async def _passwd(question: bytes, child: Child) -> bool:
    child.send(question)
    line = (await child.line()).rstrip(b"\r")
    if line not in (b"OK", b"FAIL"):
        raise ChildError("does not speak authpipe's protocol")
    return line == b"OK"


def _record(fields: Mapping[str, str], address: str) -> Record:
    """Return the record of an answer; may ask the name service. Raises ValueError or MailError."""
    user = fields.get("USERNAME", "")
    home = Path(fields.get("HOME", ""))
    if not home.is_absolute():
        raise ValueError("HOME is missing or not absolute")
    account = Account(
        address=address,
        uid=_user(user).pw_uid if user else _id(fields.get("UID", "")),
        gid=_id(fields["GID"]) if fields.get("GID") or not user else _user(user).pw_gid,
        home=home,
        maildir=home / (fields.get("MAILDIR") or "Maildir"),
        name=fields.get("NAME", "").partition(",")[0],
        quota=Quota.parse(fields.get("QUOTA", "")),
        options=Options.parse(fields.get("OPTIONS", "")),
    )
    return Record(
        account,
        fields.get("PASSWD", ""),
        clear=fields.get("PASSWD2", ""),
        checks=True,
        reusable=False,
    )


def _user(name: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        raise ValueError("USERNAME is nobody on this machine") from None


def _id(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= _MAX_ID):
        raise ValueError("UID or GID is missing, 0 or not a number")
    return int(text)


def _wrong(reason: str) -> MailError:
    log.warning("the directory breaks its protocol", module="pipe", reason=reason)
    return away()
