"""JSON forms of Admin's messages. What the fields mean is told to users of the API here."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from restante.model import ErrorKind, MailError
from restante.rpc.admin.v1 import admin_pb2 as pb
from services.auth.admin.roles import Role

MAX_ID: Final = 2**32 - 2

_M = TypeVar("_M", bound=BaseModel)

ROLES: Final = {
    Role.SUPERADMIN.value: pb.ROLE_SUPERADMIN,
    Role.DOMAIN_ADMIN.value: pb.ROLE_DOMAIN_ADMIN,
    Role.READ_ONLY.value: pb.ROLE_READ_ONLY,
}
_ROLE_NAMES: Final[dict[int, str]] = {number: name for name, number in ROLES.items()}


def _moment(value: Any) -> Any:
    if isinstance(value, Timestamp):
        return datetime.fromtimestamp(value.seconds, UTC) if value.seconds else None
    return value


def _role(value: Any) -> Any:
    return _ROLE_NAMES.get(value, value) if isinstance(value, int) else value


Moment = Annotated[datetime | None, BeforeValidator(_moment), Field(description="null is never.")]
RoleName = Annotated[Literal["superadmin", "domain-admin", "read-only"], BeforeValidator(_role)]
Texts = Annotated[list[str], BeforeValidator(lambda v: list(v) if not isinstance(v, str) else v)]


def stamp(moment: datetime | None) -> Timestamp | None:
    """Return the time of a message. Raises MailError(BAD_REQUEST)."""
    if moment is None:
        return None
    try:
        return Timestamp(seconds=int(moment.timestamp()))
    except (OverflowError, ValueError):
        raise MailError(ErrorKind.BAD_REQUEST, "a time that no calendar has") from None


def shown(model: type[_M], message: object) -> _M:
    """Return the JSON form of a message."""
    return model.model_validate(message, from_attributes=True)


class Given(BaseModel):
    """A body; fields that are not known are refused."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _is_unicode(cls, data: Any) -> Any:
        """JSON can say half a surrogate pair; no message and no database can."""
        try:
            json.dumps(data, ensure_ascii=False, default=str).encode()
        except UnicodeEncodeError:
            raise ValueError("not Unicode") from None
        return data


class Domain(BaseModel):
    """A mail domain."""

    name: str = Field(examples=["example.org"])
    default_quota: str = Field(description="Of accounts without their own; empty is unlimited.")
    default_options: str = Field(description="Merged into each account's options.")
    accounts: int = Field(description="How many accounts it has.")
    created: Moment


class NewDomain(Given):
    """A domain to be made."""

    name: str = Field(examples=["example.org"])
    default_quota: str = Field("", examples=["10000000S,1000C"])
    default_options: str = Field("", examples=["disablepop3=1"])


class DomainChange(Given):
    """Fields that are given are changed, others stay."""

    default_quota: str | None = None
    default_options: str | None = None


class Domains(BaseModel):
    """A page of domains, by name."""

    domains: list[Domain]
    next_page_token: str = Field(description="For the next page; empty on the last one.")


class Account(BaseModel):
    """An account of the SQL module, without its domain's defaults."""

    address: str = Field(examples=["fred@example.org"])
    uid: int
    gid: int
    home: str
    maildir: str
    name: str = Field(description="The owner's.")
    quota: str = Field(description="Its own; empty takes the domain's default.")
    options: str = Field(description="Its own, in Courier's syntax.")
    disabled: bool
    has_password: bool
    password_scheme: str = Field(examples=["argon2id"])
    created: Moment
    updated: Moment


class _AccountFields(Given):
    address: str = Field(examples=["fred@example.org"])
    uid: int = Field(0, ge=0, le=MAX_ID, description="0 takes the server's default.")
    gid: int = Field(0, ge=0, le=MAX_ID, description="0 takes the server's default.")
    name: str = ""
    quota: str = ""
    options: str = ""
    disabled: bool = False
    password_hash: str = Field("", description="Any scheme that the server can verify.")


class NewAccount(_AccountFields):
    """An account to be made. Without a password or a hash nobody can log in yet."""

    password: str = ""


class AccountChange(Given):
    """Fields that are given are changed, others stay."""

    uid: int | None = Field(None, ge=0, le=MAX_ID)
    gid: int | None = Field(None, ge=0, le=MAX_ID)
    name: str | None = None
    quota: str | None = None
    options: str | None = None
    disabled: bool | None = None


class Accounts(BaseModel):
    """A page of accounts, by address."""

    accounts: list[Account]
    next_page_token: str = Field(description="For the next page; empty on the last one.")


class Removal(BaseModel):
    """What became of an account's mail."""

    home: str
    home_exists: bool = Field(description="Before the request.")
    purged: bool


class ImportedAccount(_AccountFields):
    """An account as it was elsewhere."""

    home: str = Field("", description="Absolute; kept as it is. Empty: a new one.")
    maildir: str = ""


class Import(Given):
    """Accounts to be added in one transaction; what is refused does not stop the others."""

    accounts: list[ImportedAccount] = Field(max_length=500)
    create_domains: bool = Field(False, description="Make domains that are missing.")
    update: bool = Field(False, description="Change accounts that exist.")
    dry_run: bool = False


class ImportResult(BaseModel):
    """What became of one account."""

    outcome: str = Field(description="created, updated, unchanged, exists or refused.")
    text: str = Field(description="Why it was refused.")


class ImportResults(BaseModel):
    """One result for each account, in their order."""

    results: list[ImportResult]


class NewPassword(Given):
    """Exactly one of password, password_hash and clear."""

    password: str = ""
    password_hash: str = ""
    clear: bool = Field(False, description="No password fits any more.")
    dry_run: bool = Field(False, description="Only tell whether it would change anything.")


class PasswordSet(BaseModel):
    """Whether anything changed."""

    changed: bool = Field(description="False where exactly this hash was set already.")


class Passkey(BaseModel):
    """A passkey or security key."""

    id: str
    name: str
    created: Moment
    last_used: Moment


class AppPassword(BaseModel):
    """A password for one mail program."""

    id: str
    name: str
    services: Texts = Field(description="Empty: all but webmail.")
    read_only: bool
    networks: Texts = Field(description="Empty: from anywhere.")
    expires: Moment
    created: Moment
    last_used: Moment
    last_peer: str
    last_service: str


class Security(BaseModel):
    """Second factors and app passwords of an account."""

    totp: bool = Field(description="One-time codes are set up.")
    passkeys: list[Passkey]
    app_passwords: list[AppPassword]
    recovery_codes: int = Field(description="That are left.")


class Session(BaseModel):
    """A live session of a mail client."""

    address: str
    service: str
    peer: str = Field(description="IP address of the mail client.")
    client: str = Field(description="What the client calls itself.")
    tls: bool
    mechanism: str
    since: Moment
    host: str
    actor: str = Field(description="The master user who came in as this account.")
    session: str = Field(description="Its id in the log; empty for webmail.")


class Sessions(BaseModel):
    """Live sessions of every replica."""

    sessions: list[Session]
    workers: int = Field(description="That answered.")
    silent: int = Field(description="That did not: the list may lack their sessions.")
    more: int = Field(description="Sessions beyond the limit, which are not shown.")


class Token(BaseModel):
    """An API token, without its secret."""

    id: str
    name: str
    role: RoleName
    domains: Texts = Field(description="That it is bound to; empty: none.")
    expires: Moment
    created: Moment
    last_used: Moment


class NewToken(Given):
    """A token to be made."""

    name: str = Field(description="Who or what holds it.", examples=["backup script"])
    role: Literal["superadmin", "domain-admin", "read-only"]
    domains: list[str] = Field([], description="Needed for a domain-admin.")
    expires: AwareDatetime | None = None


class MadeToken(BaseModel):
    """A token and its secret."""

    token: Token
    secret: str = Field(description="Shown only now.")


class Tokens(BaseModel):
    """All tokens, the oldest first."""

    tokens: list[Token]


class Master(BaseModel):
    """An account that may log in as others."""

    address: str
    domains: Texts = Field(description="Whose accounts it may open; empty: all.")
    created: Moment


class NewMaster(Given):
    """An account that shall log in as others."""

    address: str
    domains: list[str] = []


class Masters(BaseModel):
    """All master users, by address."""

    masters: list[Master]


class AuditEntry(BaseModel):
    """Something that happened."""

    id: int
    time: Moment
    action: str = Field(examples=["login", "admin.account.update"])
    actor: str = Field(examples=["owner", "token backup script"])
    address: str
    service: str
    peer: str
    result: str = Field(description='"ok" or the kind of the error.')
    detail: str


class AuditEntries(BaseModel):
    """A page of the audit log, the newest first."""

    entries: list[AuditEntry]
    next_page_token: str = Field(description="For the next page; empty on the last one.")


class TestLogin(Given):
    """A login to be tried; without a password the account is only looked up."""

    user: str
    password: str = ""
    service: str = Field("", description='Empty is "login".')
    mechanism: str = Field("", description='Empty is "plain".')
    peer: str = ""
    new_password: str = Field("", description="Change the password, too.")
    show_hash: bool = Field(False, description="For superadmins.")


class Step(BaseModel):
    """One question on the way of a login."""

    who: str
    answer: str
    detail: str
    seconds: float


class FoundAccount(BaseModel):
    """An account of any module, defaults merged in."""

    address: str
    uid: int
    gid: int
    home: str
    maildir: str
    name: str
    quota_bytes: int
    quota_messages: int
    options: str
    disabled: bool


class TestedLogin(BaseModel):
    """How a login went. A refusal is an answer, not an error."""

    outcome: str = Field(description='"ok" or the kind of the error.')
    text: str
    steps: list[Step]
    account: FoundAccount | None
    module: str
    credential: str
    password_hash: str
    clear_password: str
