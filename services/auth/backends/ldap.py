"""Accounts in an LDAP directory, described by Courier's authldaprc.

A login is one search (two with LDAP_EMAILMAP), and with LDAP_AUTHBIND one bind as the user. The
file is looked at again every second while logins come; a changed one counts at once, one that
cannot be understood does not: what was read last stays, and the log says so.

"Not mine" is only said when the directory said so: the base exists, no limit was hit, nobody
referred us elsewhere. Everything else is MailError(TEMPORARY), more than one entry included.

An entry with several names in LDAP_MAIL is one account, of one of them: whoever logs in by another
name has the same second factor, and loses his sessions with the same change. With LDAP_EMAILMAP
the entry does not say which addresses lead to it: each is an account to us.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from functools import partial
from math import ceil
from pathlib import Path
from typing import Final

from restante.model import ErrorKind, MailError
from restante.runtime.libcrypt import crypt, new_setting
from restante.runtime.log import get_logger
from restante.wire.ldap import filter as filters
from restante.wire.ldap.message import Code, Entry, Result, Search
from services.auth.backends import ldap_rc
from services.auth.backends.base import Check, ModuleContext, PasswordChange, Record
from services.auth.backends.ldap_connection import Found, LdapConnection
from services.auth.backends.ldap_entry import (
    LdapRecord,
    first,
    is_none,
    record_of,
    values,
    wanted,
)
from services.auth.backends.ldap_rc import LdapConfig
from services.auth.backends.ldap_servers import LdapServers, away
from services.auth.names import Login, NameRules
from services.auth.settings import AuthSettings

log = get_logger(__name__)

_LOOK_SECONDS: Final = 1.0  # between two looks at the file
_WRONG: Final = (Code.INVALID_CREDENTIALS, Code.INAPPROPRIATE_AUTHENTICATION)
_REFUSED: Final = (
    Code.STRONGER_AUTH_REQUIRED,
    Code.CONSTRAINT_VIOLATION,
    Code.INSUFFICIENT_ACCESS,
    Code.UNWILLING,
)


class LdapBackend:
    """The accounts of a directory."""

    name = "ldap"

    def __init__(self, settings: AuthSettings, rules: NameRules) -> None:
        """Reads nothing yet."""
        self._settings, self._rules = settings, rules
        self._servers: LdapServers | None = None
        self._stamp: tuple[int, int, int] | None = None  # of the file that was read last
        self._look_at = 0.0
        self._lock = asyncio.Lock()

    async def open(self) -> None:
        """Read the file, and see that a server answers."""
        servers = await self._current()
        await servers.run(_nothing)

    async def find(self, login: Login) -> Record | None:
        """Return the account of a login."""
        servers = await self._current()
        entry = await self._entry(servers, login)
        if entry is None:
            return None
        asked = _address(servers, login)
        owner = self._owner(servers.config, entry, bare=not login.domain)
        if owner is None or owner.address == asked or servers.config.email_map is not None:
            return _record(servers.config, entry, asked)
        # An alias. Its owner's name must be nobody else's, whoever may write into his own entry.
        same = await self._entry(servers, owner)
        if same is None or same.dn.lower() != entry.dn.lower():
            log.warning("the first name of an entry belongs to another", dn=entry.dn)
            raise MailError(ErrorKind.TEMPORARY, "the directory contradicts itself")
        return _record(servers.config, entry, owner.address)

    async def check(self, login: Login, record: Record, check: Check) -> bool:
        """Bind as the user."""
        if not check.password or not isinstance(record, LdapRecord) or not record.dn:
            return False  # a bind without a password would succeed
        servers = await self._current()
        work = partial(
            LdapConnection.bind,
            dn=record.dn,
            password=check.password,
            version=servers.config.version,
        )
        result = await servers.run(work, as_user=True)
        if result.code in _WRONG:
            return False
        if result.code != Code.SUCCESS:
            raise _fault(result, "bind as the user", login)
        return True

    async def records(self) -> AsyncIterator[Record]:
        """Yield every account, page by page."""
        servers = await self._current()
        config = servers.config
        bad, cookie, more = 0, b"", True
        connection: LdapConnection | None = None
        try:
            while more:
                search = Search(
                    config.base,
                    filters.encode(config.all_filter()),
                    wanted(config),
                    deref=config.deref,
                    page_size=self._settings.ldap_page,
                    cookie=cookie,
                )
                # The cookie belongs to the connection that got it.
                if connection is None:
                    connection = await servers.borrow()
                found = await servers.ask(connection, search)
                _checked(servers, found, "list", whole=True)
                for entry in found.entries:
                    owner = self._owner(config, entry)
                    if owner is None or is_none(config, entry):
                        continue
                    try:
                        record = _record(config, entry, owner.address)
                    except MailError:
                        bad += 1
                    else:
                        yield record
                cookie, more = found.result.cookie, bool(found.result.cookie)
        finally:
            if connection is not None:
                connection.close()
        if bad:
            raise MailError(ErrorKind.TEMPORARY, "some entries of the directory make no account")

    async def set_password(self, login: Login, change: PasswordChange) -> bool:
        """Set the password as the user (LDAP_AUTHBIND, RFC 3062), else as LDAP_BINDDN.

        Raises MailError(CANNOT) where the directory refuses it.
        """
        servers = await self._current()
        entry = await self._entry(servers, login)
        if entry is None:
            return False
        as_user = servers.config.auth_bind and bool(change.old)
        if servers.config.auth_bind:
            result = await servers.run(
                partial(_modify_password, servers.config, entry.dn, change),
                as_user=as_user,
                once=True,
            )
            if result.code != Code.PROTOCOL_ERROR:  # else the server does not know RFC 3062
                return _changed(result, login)
        new = await asyncio.to_thread(_hash, self._settings.ldap_password_scheme, change)
        replaced = _replaced(servers.config, entry, change.new, new)
        if not replaced:
            return False
        result = await servers.run(
            partial(_replace, servers.config, entry.dn, replaced, change.old if as_user else b""),
            as_user=as_user,
            once=True,
        )
        return _changed(result, login)

    async def close(self) -> None:
        """Close the connections."""
        if self._servers is not None:
            await self._servers.close()

    def _owner(self, config: LdapConfig, entry: Entry, *, bare: bool = True) -> Login | None:
        """Return the entry's own name: its first that can be a login; `bare` ones count or not.

        One in the directory's domain, or in the default one, goes first: others may be names that
        the owner has elsewhere.
        """
        found: Login | None = None
        for name in values(entry, config.attributes.mail):
            try:
                login = self._rules.parse(name)
            except MailError:
                continue
            if login.domain and login.domain in (config.domain, self._rules.default_domain):
                return login
            if found is None and (login.domain or bare):
                found = login
        return found

    async def _entry(self, servers: LdapServers, login: Login) -> Entry | None:
        """Return the one entry of a login."""
        config = servers.config
        attribute, value = config.attributes.mail, _address(servers, login)
        if config.email_map is not None and login.domain:
            email_map = config.email_map
            handle = await _one(
                servers,
                Search(
                    email_map.base,
                    filters.encode(email_map.filter(login.local, login.domain)),
                    (email_map.attribute,),
                    deref=config.deref,
                    size_limit=2,
                    time_limit=ceil(servers.patience),
                ),
                login,
            )
            attribute, value = email_map.key, first(handle, email_map.attribute) if handle else ""
            if not value:
                return None
        search = Search(
            config.base,
            filters.encode(config.account_filter(attribute, value)),
            wanted(config),
            deref=config.deref,
            size_limit=2,
            time_limit=ceil(servers.patience),
        )
        return await _one(servers, search, login)

    async def _current(self) -> LdapServers:
        """Return the servers of the file as it is now. Raises MailError(TEMPORARY)."""
        if self._servers is not None and time.monotonic() < self._look_at:
            return self._servers
        async with self._lock:
            self._look_at = time.monotonic() + _LOOK_SECONDS
            stamp = await asyncio.to_thread(_stamp, self._settings.ldaprc)
            if self._servers is not None and stamp == self._stamp:
                return self._servers
            self._stamp = stamp
            try:
                new = await asyncio.to_thread(_read, self._settings)
            except MailError:
                if self._servers is None:
                    raise
                log.warning("authldaprc was changed and is wrong: what was read before counts")
                return self._servers
            old, self._servers = self._servers, new
            if old is not None:
                log.info("authldaprc was read again")
                await old.close()
            return new


async def _nothing(_: LdapConnection) -> None:
    """Ask nothing: to be connected and bound is enough."""


async def _one(servers: LdapServers, search: Search, login: Login) -> Entry | None:
    """Return the one entry that a search finds."""
    found = await servers.run(partial(LdapConnection.search, what=search))
    many = len(found.entries) > 1
    if many:
        log.warning("more than one entry of the directory fits a login", login=login.address)
        raise MailError(ErrorKind.TEMPORARY, "the directory has this account twice")
    _checked(servers, found, "look-up", whole=False)
    return found.entries[0] if found.entries else None


def _checked(servers: LdapServers, found: Found, what: str, *, whole: bool) -> Found:
    """Return a search's answer if nothing is missing; `whole`: all entries are needed.

    Raises MailError(TEMPORARY).
    """
    if found.result.code != Code.SUCCESS:
        raise _fault(found.result, what)
    if found.references and not servers.ignore_referrals and (whole or not found.entries):
        log.warning(
            "the directory refers to other servers",
            what=what,
            setting="RESTANTE_AUTH_LDAP_IGNORE_REFERRALS",
        )
        raise away()
    return found


async def _modify_password(
    config: LdapConfig, dn: str, change: PasswordChange, connection: LdapConnection
) -> Result:
    """Set a password by RFC 3062, as the user where the old one is known."""
    if not change.old:
        return await connection.password_modify(dn, b"", change.new)
    result = await connection.bind(dn, change.old, config.version)
    if result.code != Code.SUCCESS:
        return result
    return await connection.password_modify("", change.old, change.new)


async def _replace(
    config: LdapConfig,
    dn: str,
    replaced: dict[str, bytes],
    old: bytes,
    connection: LdapConnection,
) -> Result:
    """Set attributes, as the user where `old` is his password."""
    if old:
        result = await connection.bind(dn, old, config.version)
        if result.code != Code.SUCCESS:
            return result
    return await connection.replace(dn, replaced)


def _replaced(config: LdapConfig, entry: Entry, new: bytes, stored: str) -> dict[str, bytes]:
    """Return what is to be replaced: the attributes that the entry keeps passwords in."""
    have = config.attributes
    replaced = {}
    if have.clear and first(entry, have.clear):
        replaced[have.clear] = new
    if have.hashed and (config.auth_bind or first(entry, have.hashed)):
        replaced[have.hashed] = stored.encode()
    return replaced


def _changed(result: Result, login: Login) -> bool:
    if result.code in _REFUSED:
        log.info("the directory refuses a password", login=login.address, code=result.code)
        raise MailError(ErrorKind.CANNOT, "the directory refuses this password")
    if result.code != Code.SUCCESS:
        raise _fault(result, "change of a password", login)
    return True


def _hash(scheme: str, change: PasswordChange) -> str:
    """Return the value to be stored. Raises MailError(TEMPORARY | CANNOT)."""
    if scheme == "argon2id":
        return "{ARGON2}" + change.stored
    setting = new_setting("$6$")
    made = crypt(change.new, setting) if setting else None
    if made is None:
        raise MailError(ErrorKind.CANNOT, "no hash can be made of this password")
    return "{CRYPT}" + made.decode()


def _record(config: LdapConfig, entry: Entry, address: str) -> LdapRecord:
    try:
        return record_of(config, entry, address)
    except (ValueError, MailError) as error:
        reason = error.text if isinstance(error, MailError) else str(error)
        log.warning("an entry of the directory is no account", dn=entry.dn, reason=reason)
        raise MailError(ErrorKind.TEMPORARY, "the account's entry cannot be read") from error


def _address(servers: LdapServers, login: Login) -> str:
    """Return the canonical address; LDAP_DOMAIN is that of logins without one."""
    if login.domain or not servers.config.domain:
        return login.address
    return f"{login.local}@{servers.config.domain}"


def _fault(result: Result, what: str, login: Login | None = None) -> MailError:
    log.warning(
        "the directory refuses",
        what=what,
        code=result.code,
        text=result.text[:200],
        login=login.address if login else "",
    )
    return away()


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        info = path.stat()
    except OSError:
        return None
    return info.st_ino, info.st_size, info.st_mtime_ns


def _read(settings: AuthSettings) -> LdapServers:
    password = settings.ldap_bindpw.get_secret_value() if settings.ldap_bindpw else ""
    config = ldap_rc.read(settings.ldaprc, password)
    tls = _tls(settings)
    if not config.start_tls and not all(
        server.scheme == "ldaps" or server.is_private for server in config.servers
    ):
        log.warning("passwords cross the network to the directory in clear: set LDAP_TLS")
    return LdapServers(
        config,
        tls,
        size=settings.ldap_pool,
        deadline=settings.ldap_seconds,
        ignore_referrals=settings.ldap_ignore_referrals,
    )


def _tls(settings: AuthSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ldap_ca)
        if settings.ldap_certificate is not None:
            context.load_cert_chain(settings.ldap_certificate, settings.ldap_key)
    except OSError as error:  # ssl.SSLError is one
        log.warning("TLS files of the module ldap cannot be read", reason=str(error))
        raise away() from error
    return context


def make(settings: AuthSettings, context: ModuleContext) -> LdapBackend:
    """Return the module "ldap"."""
    return LdapBackend(settings, context.rules)
