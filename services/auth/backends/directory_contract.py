"""The contract of homemade directories: JSON requests and answers (docs/directory-module.md).

A directory that says anything else than the contract allows, an unknown field included, is
TEMPORARY: a misspelt "disabled" must not leave a door open. Passwords that are not UTF-8 cannot be
asked about and fit nothing. Nothing of a request or an answer reaches the log but "reason".
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from restante.model import Account, ErrorKind, MailError, Options, Quota
from restante.runtime.log import get_logger
from services.auth.backends.base import Check, PasswordChange, Record
from services.auth.names import Login, NameRules
from services.auth.settings import AuthSettings

log = get_logger(__name__)

VERSION: Final = 1
MAX_ANSWER: Final = 64 * 1024  # bytes of one answer, or of one line of a list
_MAX_ID: Final = 2**32 - 2


class AccountAnswer(BaseModel):
    """An account as a directory describes it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    address: str = ""
    uid: int = Field(ge=1, le=_MAX_ID)
    gid: int = Field(ge=1, le=_MAX_ID)
    home: str
    maildir: str = "Maildir"
    name: str = ""
    quota: str = ""
    options: str = ""
    disabled: bool = False
    password: str = Field("", repr=False)


class Answer(BaseModel):
    """One answer."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    result: Literal["ok", "not_found", "refused", "temporary", "end"]
    account: AccountAnswer | None = None
    reason: str = ""


class Transport(Protocol):
    """How requests reach a directory. Every method raises MailError(TEMPORARY)."""

    name: str

    async def open(self) -> None:
        """Get ready."""

    async def ask(self, request: bytes, *, again: bool) -> bytes:
        """Return the answer to a request; `again`: asking twice does no harm."""

    def lines(self, request: bytes) -> AsyncGenerator[bytes, None]:
        """Yield the lines of a long answer."""

    async def close(self) -> None:
        """Let go of everything."""


class DirectoryBackend:
    """The accounts of a homemade directory."""

    def __init__(self, transport: Transport, settings: AuthSettings, rules: NameRules) -> None:
        """Relative homes start at the mail root."""
        self.name = transport.name
        self._transport, self._root, self._rules = transport, settings.mail_root, rules

    async def open(self) -> None:
        """Get ready."""
        await self._transport.open()

    async def find(self, login: Login) -> Record | None:
        """Ask for an account."""
        answer = await self._ask(login, "lookup")
        if answer.result == "not_found":
            return None
        if answer.result != "ok" or answer.account is None:
            raise self._wrong("a look-up is answered by an account or not_found")
        return self._record(answer.account, login.address)

    async def check(self, login: Login, record: Record, check: Check) -> bool:
        """Ask whether a password fits."""
        password = _text(check.password)
        if not password:
            return False
        answer = await self._ask(
            login, "authenticate", password=password, service=check.service, peer=check.peer
        )
        if answer.result not in ("ok", "refused", "not_found"):
            raise self._wrong("a password is answered by ok or refused")
        return answer.result == "ok"

    async def records(self) -> AsyncIterator[Record]:
        """Ask for all accounts."""
        request = json.dumps({"version": VERSION, "op": "enumerate"}).encode()
        async with aclosing(self._transport.lines(request)) as lines:
            async for line in lines:
                answer = self._answer(line)
                if answer.result == "end":
                    return
                if answer.result != "ok" or answer.account is None or not answer.account.address:
                    raise self._wrong("a list has accounts with their address, and an end")
                yield self._record(answer.account, "")
        raise self._wrong("the list has no end")

    async def set_password(self, login: Login, change: PasswordChange) -> bool:
        """Ask to store a password. Raises MailError(CANNOT) where the directory refuses."""
        new, old = _text(change.new), _text(change.old)
        if not new or (change.old and not old):
            raise MailError(ErrorKind.CANNOT, "the directory stores UTF-8 passwords only")
        answer = await self._ask(
            login, "set_password", again=False, new_password=new, old_password=old
        )
        if answer.result == "refused":
            raise MailError(ErrorKind.CANNOT, "the directory refuses this password")
        if answer.result not in ("ok", "not_found"):
            raise self._wrong("a new password is answered by ok, refused or not_found")
        return answer.result == "ok"

    async def close(self) -> None:
        """Let go of the directory."""
        await self._transport.close()

    async def _ask(self, login: Login, op: str, *, again: bool = True, **more: str) -> Answer:
        request: Mapping[str, Any] = {
            "version": VERSION,
            "op": op,
            "address": login.address,
            "local": login.local,
            "domain": login.domain,
            **more,
        }
        return self._answer(await self._transport.ask(json.dumps(request).encode(), again=again))

    def _answer(self, data: bytes) -> Answer:
        try:
            answer = Answer.model_validate_json(data)
        except ValidationError as error:
            where = {".".join(map(str, e["loc"])) + ": " + e["type"] for e in error.errors()}
            raise self._wrong("; ".join(sorted(where))) from None
        if answer.result == "temporary":
            log.info("the directory has a fault", module=self.name, reason=answer.reason[:200])
            raise away()
        return answer

    def _record(self, answer: AccountAnswer, asked: str) -> Record:
        try:
            address = self._rules.parse(answer.address).address if answer.address else asked
            home = self._root / _path(answer.home)
            account = Account(
                address=address,
                uid=answer.uid,
                gid=answer.gid,
                home=home,
                maildir=home / _path(answer.maildir),
                name=" ".join(answer.name.split()),
                quota=Quota.parse(answer.quota),
                options=Options.parse(_line(answer.options)),
                disabled=answer.disabled,
            )
        except (MailError, ValueError) as error:
            raise self._wrong(error.text if isinstance(error, MailError) else str(error)) from None
        stored = answer.password
        return Record(account, stored, checks=not stored, reusable=False)

    def _wrong(self, reason: str) -> MailError:
        log.warning("the directory breaks the contract", module=self.name, reason=reason)
        return away()


def _text(password: bytes) -> str:
    try:
        return password.decode()
    except UnicodeDecodeError:
        return ""


def _line(text: str) -> str:
    if any(c < " " or c == "\x7f" for c in text):
        raise ValueError("a control character")
    return text


def _path(text: str) -> Path:
    path = Path(_line(text))
    if not text or ".." in path.parts:
        raise ValueError("not a path")
    return path


def away() -> MailError:
    """What everything says that went wrong between us and a directory."""
    return MailError(ErrorKind.TEMPORARY, "the directory cannot be asked")
