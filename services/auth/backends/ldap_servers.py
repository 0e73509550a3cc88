"""The servers of LDAP_URI: connections that are kept, and which server is asked.

- The first server of the list that answers is asked. One that does not is set aside; a task looks
  in the background whether it is back, so that no login has to find out. Where all are set aside,
  all are tried, in their order.
- A request that breaks is asked again, of the next server or of the same one after its restart,
  as long as the deadline allows; but only where asking twice does no harm.
- Connections for searches (bound as LDAP_BINDDN) and for binds of users are kept apart: none ever
  searches with a user's rights.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, TypeVar

from restante.model import ErrorKind, MailError
from restante.runtime.log import get_logger
from restante.wire.ldap.message import Code, Search
from services.auth.backends.ldap_connection import (
    Found,
    LdapConnection,
    LdapLostError,
    ServerAddress,
)
from services.auth.backends.ldap_rc import LdapConfig

log = get_logger(__name__)

PROBE_SECONDS: Final = 2.0
_KEEP_SECONDS: Final = 60.0  # that an idle connection is used again: firewalls forget in silence

T = TypeVar("T")
Work = Callable[[LdapConnection], Awaitable[T]]


class _NotConnectedError(LdapLostError):
    """Nothing was asked yet."""


class LdapServers:
    """Connections to one configuration's servers."""

    def __init__(
        self,
        config: LdapConfig,
        tls: ssl.SSLContext,
        *,
        size: int,
        deadline: float,
        ignore_referrals: bool = False,
    ) -> None:
        """`size` connections of each kind at most; `deadline` in seconds bounds each request."""
        self.ignore_referrals = ignore_referrals
        self.config, self._tls, self._deadline = config, tls, deadline
        # A server that hangs leaves time to ask the next one.
        self.patience = min(config.timeout, 0.9 * deadline / len(config.servers))
        self._places = {False: asyncio.Semaphore(size), True: asyncio.Semaphore(size)}
        self._idle: dict[bool, list[LdapConnection]] = {False: [], True: []}
        self._down: set[ServerAddress] = set()
        self._probe: asyncio.Task[None] | None = None
        self._closed = False

    async def run(self, work: Work[T], *, as_user: bool = False, once: bool = False) -> T:
        """Let `work(connection)` talk to a server.

        `as_user`: the connection is for binds of users; else it is bound as LDAP_BINDDN. `once`:
        do not ask again when the connection breaks. Raises MailError(TEMPORARY).
        """
        try:
            async with asyncio.timeout(self._deadline):
                async with self._places[as_user]:
                    return await self._try(work, as_user, once)
        except TimeoutError:
            log.warning("no LDAP server answers in time", seconds=self._deadline)
            raise away() from None

    async def borrow(self) -> LdapConnection:
        """Return a connection of its own, bound as LDAP_BINDDN. Raises MailError(TEMPORARY)."""
        reason = ""
        for address in self._order():
            try:
                async with asyncio.timeout(self.patience):
                    return await self._connect(address, as_user=False)
            except (LdapLostError, TimeoutError) as error:
                reason = str(error) or "timed out"
                self._lost(address, reason)
        log.warning("no LDAP server answers", reason=reason)
        raise away()

    async def ask(self, connection: LdapConnection, search: Search) -> Found:
        """Search over a borrowed connection. Raises MailError(TEMPORARY)."""
        try:
            async with asyncio.timeout(self._deadline):
                return await connection.search(search)
        except (LdapLostError, TimeoutError) as error:
            reason = str(error) or "timed out"
            log.warning("a search broke off", server=str(connection.address), reason=reason)
            raise away() from error

    async def close(self) -> None:
        """Close every connection that is not in use; the others are closed after their use."""
        self._closed = True
        if self._probe is not None:
            self._probe.cancel()
            with suppress(asyncio.CancelledError):
                await self._probe
        for idle in self._idle.values():
            while idle:
                idle.pop().close()

    async def _try(self, work: Work[T], as_user: bool, once: bool) -> T:
        reason = ""
        order, hung = self._order(), set()
        for address in (*order, *order):
            # The second round is for a server that was restarted: old connections broke.
            if address in hung:
                continue
            try:
                async with asyncio.timeout(self.patience):
                    return await self._once(address, work, as_user)
            except _NotConnectedError as error:
                reason = str(error)
                self._lost(address, reason)
            except TimeoutError:
                reason = "timed out"
                self._lost(address, reason)
                hung.add(address)
                if once:
                    break
            except LdapLostError as error:
                reason = str(error)
                self._forget(address)
                if once:
                    break
        log.warning("no LDAP server answers", reason=reason)
        raise away()

    async def _once(self, address: ServerAddress, work: Work[T], as_user: bool) -> T:
        try:
            connection = await self._get(address, as_user)
        except LdapLostError as error:
            raise _NotConnectedError(str(error)) from error
        try:
            done = await work(connection)
        except BaseException:
            connection.abort()  # nobody knows what it was in the middle of
            raise
        self._put(connection, as_user)
        return done

    def _order(self) -> tuple[ServerAddress, ...]:
        up = tuple(server for server in self.config.servers if server not in self._down)
        return up or self.config.servers

    async def _get(self, address: ServerAddress, as_user: bool) -> LdapConnection:
        idle = self._idle[as_user]
        oldest = asyncio.get_running_loop().time() - _KEEP_SECONDS
        while idle:
            connection = idle.pop()
            if (
                connection.address == address
                and not connection.closed
                and connection.used_at > oldest
            ):
                return connection
            connection.close()
        return await self._connect(address, as_user)

    def _put(self, connection: LdapConnection, as_user: bool) -> None:
        if self._closed:
            connection.close()
        elif not connection.closed:
            connection.used_at = asyncio.get_running_loop().time()
            self._idle[as_user].append(connection)

    def _forget(self, address: ServerAddress) -> None:
        """Keep no connection to a server any more: where one broke, the others will."""
        for idle in self._idle.values():
            for connection in [c for c in idle if c.address == address]:
                idle.remove(connection)
                connection.abort()

    async def _connect(self, address: ServerAddress, as_user: bool) -> LdapConnection:
        config = self.config
        connection = await LdapConnection.connect(address, self._tls, start_tls=config.start_tls)
        if as_user or not config.bind_dn:
            return connection
        password = config.bind_password.encode("utf-8", "surrogateescape")
        try:
            result = await connection.bind(config.bind_dn, password, config.version)
        except BaseException:
            connection.abort()
            raise
        if result.code != Code.SUCCESS:
            connection.close()
            raise LdapLostError(f"bind as LDAP_BINDDN: result {result.code} {result.text[:200]}")
        return connection

    def _lost(self, address: ServerAddress, reason: str) -> None:
        self._forget(address)
        if address not in self._down:
            log.warning("LDAP server set aside", server=str(address), reason=reason)
            self._down.add(address)
        if self._probe is None and not self._closed:
            self._probe = asyncio.get_running_loop().create_task(self._look())

    async def _look(self) -> None:
        """Until all are back, see which of the servers set aside answer again."""
        while self._down:
            await asyncio.sleep(PROBE_SECONDS)
            for address in tuple(self._down):
                try:
                    async with asyncio.timeout(self.patience):
                        (await self._connect(address, as_user=False)).close()
                except (LdapLostError, TimeoutError):
                    continue
                log.info("LDAP server is back", server=str(address))
                self._down.discard(address)
        self._probe = None


def away() -> MailError:
    """What everything says that went wrong between us and the directory."""
    return MailError(ErrorKind.TEMPORARY, "the directory cannot be asked")
