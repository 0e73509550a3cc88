"""Better hashes for old accounts, made at a login: only then is the password known.

Invariants
- The answer does not wait: the new hash is made and stored by a task of its own, few at a time.
  What cannot be stored now is tried at the next login that costs a hash.
- Only a hash that is still stored is replaced (compare and set): a password that is changed at the
  same moment stays changed, and two replicas store one hash.
- The password stays the same, so no session ends.
- What challenges need stays: a clear password (CRAM-MD5) and SCRAM's own form. So does an account
  with passwords per service, since the module keeps one hash for all.
"""

import asyncio
from typing import Final, Protocol, runtime_checkable

from restante.model import MailError
from restante.runtime.log import get_logger
from services.auth.mechanisms.base import Match
from services.auth.names import Login
from services.auth.passwords.verifier import Verifier

log = get_logger(__name__)

AT_ONCE: Final = 2  # upgrades under way; other logins wait for no upgrade


@runtime_checkable
class Rehashing(Protocol):
    """A module that can replace a hash."""

    async def replace_hash(self, login: Login, old: str, new: str) -> bool:
        """Store `new` where `old` is still stored; False where it is not.

        Ends no session. Raises MailError(TEMPORARY).
        """


class HashUpgrades:
    """Upgrades under way; used from the event loop."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier
        self._tasks: dict[str, asyncio.Task[None]] = {}  # by address

    def consider(self, match: Match, password: bytes) -> None:
        """Upgrade the hash that `password` fitted, where it is outdated. Returns at once."""
        stored, module = match.record.password, match.module
        address = match.record.account.address
        if (
            match.record.checks
            or match.record.service_passwords
            or len(self._tasks) >= AT_ONCE
            or address in self._tasks
            or not isinstance(module, Rehashing)
            or not self._verifier.is_outdated(stored)
        ):
            return
        work = self._upgrade(match.login, address, module, stored, password)
        task = asyncio.get_running_loop().create_task(work)
        self._tasks[address] = task
        task.add_done_callback(lambda _: self._tasks.pop(address, None))

    async def close(self) -> None:
        """Let upgrades under way end."""
        if self._tasks:
            await asyncio.wait(set(self._tasks.values()))

    async def _upgrade(
        self, login: Login, address: str, module: Rehashing, stored: str, password: bytes
    ) -> None:
        try:
            new = await self._verifier.hash(password)
            if await module.replace_hash(login, stored, new):
                log.info("hash upgraded", address=address)
        except MailError as error:
            log.info("hash not upgraded", address=address, reason=error.text)
