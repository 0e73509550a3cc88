"""From a directory's entry to an account, as Courier's module reads it.

- Of an attribute with several values the first counts; for options all do, and a value ends at
  its first comma, since OPTIONS cannot hold one.
- LDAP_MAILROOT stands before every home, also an absolute one: so Courier does, and there the mail
  lies.
- A clear password (LDAP_CLEARPW) is the one that counts where the entry has both.
- Nobody has uid or gid 0.
- Who changes the directory does not tell us: every login asks it (Record.reusable).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from restante.model import Account, Options, Quota
from restante.wire.ldap.message import Entry
from services.auth.backends.base import Record
from services.auth.backends.ldap_rc import LdapConfig
from services.auth.passwords import schemes

_MAX_ID: Final = 2**32 - 2


@dataclass(frozen=True, slots=True)
class LdapRecord(Record):
    """A record that knows where it was found."""

    dn: str = ""


def wanted(config: LdapConfig) -> tuple[str, ...]:
    """Return the attributes to ask for; passwords only where they are compared here."""
    have = config.attributes
    passwords = () if config.auth_bind else (have.clear, have.hashed)
    names = (have.mail, have.home, have.maildir, have.quota, have.name, have.uid, have.gid)
    options = (attribute for attribute, _ in have.options)
    return tuple(dict.fromkeys(filter(None, (*names, *passwords, *options))))


def values(entry: Entry, attribute: str) -> tuple[str, ...]:
    """Return the values of an attribute that are not empty."""
    found = entry.attributes.get(attribute.lower(), ()) if attribute else ()
    return tuple(value.decode("utf-8", "surrogateescape") for value in found if value)


def is_none(config: LdapConfig, entry: Entry) -> bool:
    """True for an entry that is no mail account and does not want to be one."""
    have = config.attributes
    return not first(entry, have.home) or "0" in (first(entry, have.uid), first(entry, have.gid))


def record_of(config: LdapConfig, entry: Entry, address: str) -> LdapRecord:
    """Return the record of `address`. Raises ValueError or MailError for what makes no account."""
    have = config.attributes
    account = Account(
        address=address,
        uid=_id(first(entry, have.uid), config.uid, "uid"),
        gid=_id(first(entry, have.gid), config.gid, "gid"),
        home=(home := _home(config, first(entry, have.home))),
        maildir=home / _path(first(entry, have.maildir) or "Maildir"),
        name=" ".join(first(entry, have.name).split()),
        quota=Quota.parse(first(entry, have.quota)),
        options=_options(config, entry),
    )
    if config.auth_bind:
        return LdapRecord(account, checks=True, reusable=False, dn=entry.dn)
    clear = first(entry, have.clear)
    stored = f"{{PLAIN}}{clear}" if clear else _hash(values(entry, have.hashed))
    return LdapRecord(account, stored, clear=clear, reusable=False, dn=entry.dn)


def first(entry: Entry, attribute: str) -> str:
    """Return the first value of an attribute, "" without one."""
    return next(iter(values(entry, attribute)), "")


def _hash(stored: tuple[str, ...]) -> str:
    """Return the first value that can be compared; else any, which fits no password."""
    known = (value for value in stored if schemes.scheme_of(value))
    return next(known, next(iter(stored), ""))


def _home(config: LdapConfig, text: str) -> Path:
    home = _path(f"{config.mail_root}/{text}" if config.mail_root and text else text)
    if not home.is_absolute():
        raise ValueError("the home is missing, or not absolute")
    return home


def _path(text: str) -> Path:
    if any(c < " " or c == "\x7f" for c in text):
        raise ValueError("a path has a control character")
    return Path(text)


def _id(text: str, default: int, what: str) -> int:
    number = text or str(default)
    if not (number.isascii() and number.isdigit() and 0 < int(number) <= _MAX_ID):
        raise ValueError(f"{what} is missing, 0 or not a number")
    return int(number)


def _options(config: LdapConfig, entry: Entry) -> Options:
    found = []
    for attribute, option in config.attributes.options:
        for value in values(entry, attribute):
            text = value.partition(",")[0].strip()
            if any(c < " " or c == "\x7f" for c in text):
                raise ValueError("an option has a control character")
            found.append((option, text))
    return Options(tuple(found))
