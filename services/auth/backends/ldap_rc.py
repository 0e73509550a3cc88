"""Courier's authldaprc, read as it stands.

Format: "NAME<spaces or tabs>value" on each line; lines that start with "#" and blank lines are
skipped, white space at the end is not part of a value, the first of several lines of one name
counts. What is missing has Courier's default. LDAP_DEFAULTDELIVERY is for Courier's own mail
server and means nothing here; names that are not known are named once, in the log.
"""

import grp
import pwd
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from restante.model import ErrorKind, MailError
from restante.runtime.log import get_logger
from restante.wire.ldap import filter as filters
from restante.wire.ldap.message import Deref
from services.auth.backends.ldap_connection import ServerAddress

log = get_logger(__name__)

_LINE: Final = re.compile(r"([A-Z][A-Z0-9_]*)[ \t]+(.*)\Z")
_NAMES: Final = (
    *("URI", "PROTOCOL_VERSION", "BASEDN", "BINDDN", "BINDPW", "TIMEOUT", "AUTHBIND", "INITBIND"),
    *("MAIL", "FILTER", "DOMAIN", "GLOB_UID", "GLOB_GID", "HOMEDIR", "MAILROOT", "MAILDIR"),
    *("DEFAULTDELIVERY", "MAILDIRQUOTA", "FULLNAME", "CLEARPW", "CRYPTPW", "UID", "GID"),
    *("AUXOPTIONS", "ENUMERATE_FILTER", "DEREF", "TLS", "EMAILMAP", "EMAILMAP_BASEDN"),
    *("EMAILMAP_ATTRIBUTE", "EMAILMAP_MAIL", "MEMORY_LEAK"),
)
_PLACES: Final = re.compile(r"@(user|realm)@")

_Get = Callable[..., str]


@dataclass(frozen=True, slots=True)
class Attributes:
    """Which attribute holds what; "" where nothing does."""

    mail: str
    home: str
    maildir: str = ""
    quota: str = ""
    name: str = ""
    clear: str = ""
    hashed: str = ""
    uid: str = ""
    gid: str = ""
    options: tuple[tuple[str, str], ...] = ()  # (attribute, option)


@dataclass(frozen=True, slots=True)
class EmailMap:
    """The extra look-up from an address to a handle."""

    template: str  # a filter with @user@ and @realm@
    base: str
    attribute: str  # of the handle, where it is found
    key: str  # the attribute that must equal it in the account's entry

    def filter(self, local: str, domain: str) -> str:
        """Return the filter for an address."""
        values = {"user": filters.escape(local), "realm": filters.escape(domain)}
        return _PLACES.sub(lambda match: values[match[1]], self.template)


@dataclass(frozen=True, slots=True)
class LdapConfig:
    """What the file says."""

    servers: tuple[ServerAddress, ...]
    base: str
    attributes: Attributes
    bind_dn: str = ""  # "" searches without a bind
    bind_password: str = field(default="", repr=False)
    auth_bind: bool = False
    start_tls: bool = False
    timeout: float = 5.0  # seconds
    version: int = 3
    deref: Deref = Deref.NEVER
    filter: str = ""
    enumerate_filter: str = ""
    domain: str = ""
    uid: int = 0  # of everybody whose entry names none; 0 is nobody
    gid: int = 0
    mail_root: str = ""
    email_map: EmailMap | None = None

    def account_filter(self, attribute: str, value: str) -> str:
        """Return the filter of the entry whose `attribute` is `value`."""
        return f"(&{self.filter}({attribute}={filters.escape(value)}))"

    def all_filter(self) -> str:
        """Return the filter of all accounts."""
        return f"(&{self.enumerate_filter or self.filter}({self.attributes.mail}=*))"


def read(path: Path, bind_password: str = "") -> LdapConfig:
    """Read a file; `bind_password` wins over its LDAP_BINDPW. Raises MailError(TEMPORARY)."""
    try:
        if path.stat().st_mode & stat.S_IROTH:
            log.warning("everybody may read authldaprc, which may hold a password", path=str(path))
        values = _values(path.read_text("utf-8", "surrogateescape"))
    except OSError as error:
        raise _fault(f"cannot read {path}: {error.strerror}") from error
    unknown = sorted(name for name in values if name.removeprefix("LDAP_") not in _NAMES)
    if unknown:
        log.warning("authldaprc has settings that mean nothing here", names=" ".join(unknown))
    if bind_password:
        values["LDAP_BINDPW"] = bind_password
    try:
        return _config(values)
    except ValueError as error:
        raise _fault(f"{path}: {error}") from error


def _values(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in text.split("\n"):
        match = _LINE.match(line.rstrip())
        if match:
            found.setdefault(match[1], match[2])
    return found


def _config(values: Mapping[str, str]) -> LdapConfig:
    """Raises ValueError that says what is wrong, never with a password."""

    def get(name: str, default: str = "") -> str:
        return values.get(f"LDAP_{name}") or default

    def needed(name: str) -> str:
        found = get(name)
        if not found:
            raise ValueError(f"LDAP_{name} is missing")
        return found

    start_tls = _switch(get("TLS", "0"), "LDAP_TLS")
    servers = tuple(ServerAddress.parse(uri) for uri in re.split(r"[\s,]+", needed("URI")) if uri)
    initial = _switch(get("INITBIND", "0"), "LDAP_INITBIND")
    version = _number(get("PROTOCOL_VERSION", "0"), "LDAP_PROTOCOL_VERSION") or 3
    if version not in (2, 3):
        raise ValueError("LDAP_PROTOCOL_VERSION is 2 or 3")
    deref = get("DEREF", "never").upper()
    if deref not in Deref.__members__:
        raise ValueError("LDAP_DEREF is never, searching, finding or always")
    base = needed("BASEDN")
    attributes = _attributes(get)
    return LdapConfig(
        servers=servers,
        base=base,
        attributes=attributes,
        bind_dn=needed("BINDDN") if initial else "",
        bind_password=needed("BINDPW") if initial else "",
        auth_bind=_switch(get("AUTHBIND", "0"), "LDAP_AUTHBIND"),
        start_tls=start_tls,
        timeout=float(_number(get("TIMEOUT", "5"), "LDAP_TIMEOUT") or 5),
        version=version,
        deref=Deref[deref],
        filter=_filter(get("FILTER"), "LDAP_FILTER"),
        enumerate_filter=_filter(get("ENUMERATE_FILTER"), "LDAP_ENUMERATE_FILTER"),
        domain=get("DOMAIN").lower(),
        uid=_id(get("GLOB_UID"), "LDAP_GLOB_UID", lambda name: pwd.getpwnam(name).pw_uid),
        gid=_id(get("GLOB_GID"), "LDAP_GLOB_GID", lambda name: grp.getgrnam(name).gr_gid),
        mail_root=get("MAILROOT"),
        email_map=_email_map(get, base, attributes.mail),
    )


def _attributes(get: _Get) -> Attributes:
    names = {
        "mail": get("MAIL", "mail"),
        "home": get("HOMEDIR", "homeDir"),
        "maildir": get("MAILDIR"),
        "quota": get("MAILDIRQUOTA"),
        "name": get("FULLNAME"),
        "clear": get("CLEARPW"),
        "hashed": get("CRYPTPW"),
        "uid": get("UID"),
        "gid": get("GID"),
    }
    for name in filter(None, names.values()):
        _attribute(name, "an attribute")
    options = []
    for pair in filter(None, get("AUXOPTIONS").split(",")):
        attribute, _, option = pair.partition("=")
        if not option:
            raise ValueError("LDAP_AUXOPTIONS is a list of ATTRIBUTE=NAME")
        options.append((_attribute(attribute, "LDAP_AUXOPTIONS"), option))
    return Attributes(**names, options=tuple(options))


def _email_map(get: _Get, base: str, mail: str) -> EmailMap | None:
    if not get("EMAILMAP"):
        return None
    found = EmailMap(
        get("EMAILMAP"),
        get("EMAILMAP_BASEDN", base),
        _attribute(get("EMAILMAP_ATTRIBUTE", "handle"), "LDAP_EMAILMAP_ATTRIBUTE"),
        _attribute(get("EMAILMAP_MAIL", mail), "LDAP_EMAILMAP_MAIL"),
    )
    _filter(found.filter("x", "x"), "LDAP_EMAILMAP")
    return found


def _attribute(text: str, where: str) -> str:
    if not filters.is_attribute(text):
        raise ValueError(f"{where}: not an attribute: {text!r}")
    return text


def _filter(text: str, where: str) -> str:
    """Return a filter in parentheses; several in a row are understood as "and"."""
    if text and not text.startswith("("):
        text = f"({text})"
    try:
        filters.encode(f"(&{text}(x=y))")
    except filters.FilterError as error:
        raise ValueError(f"{where}: {error}") from None
    return text


def _number(text: str, where: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise ValueError(f"{where}: not a number")
    return int(text)


def _switch(text: str, where: str) -> bool:
    return _number(text, where) != 0


def _id(text: str, where: str, look_up: Callable[[str], int]) -> int:
    if not text:
        return 0
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        return look_up(text)
    except KeyError:
        raise ValueError(f"{where}: no such name on this machine") from None


def _fault(text: str) -> MailError:
    log.warning("the module ldap has no configuration", reason=text)
    return MailError(ErrorKind.TEMPORARY, "the directory is not configured")
