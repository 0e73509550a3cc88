"""Verifiers for SCRAM and CRAM, derived from a password whenever it is seen in clear.

RESTANTE_AUTH_DERIVE says which are kept; by default none, since each is easier to attack than
argon2id: a thief of the database tries passwords against the weakest form.
"""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Collection
from functools import partial
from typing import Final

from restante.model import MailError
from restante.runtime.log import get_logger
from restante.wire import hmac_state
from services.auth.credentials import CRAM, MODULE, SCRAM, add, mark_of, read
from services.auth.database.engine import Database
from services.auth.mechanisms.base import Match
from services.auth.passwords.scram import make_keys
from services.auth.passwords.verifier import Verifier

log = get_logger(__name__)

KINDS: Final = {"scram-sha-256": SCRAM, "cram-md5": CRAM}
"""Names of the setting, and of the table's column `kind`."""

_AT_ONCE: Final = 2
_REMEMBERED: Final = 65536  # accounts


class Deriver:
    """Makes verifiers. Used from the event loop."""

    def __init__(
        self, database: Database, verifier: Verifier, *, kinds: Collection[str], iterations: int
    ) -> None:
        """`kinds` as in the table; `iterations` are SCRAM's."""
        self._database, self._verifier = database, verifier
        self._kinds, self._iterations = tuple(kinds), iterations
        self._done: OrderedDict[str, str] = OrderedDict()  # address: mark of the hash
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def derive(self, password: bytes) -> dict[str, str]:
        """Return the verifiers of a password by kind. Raises MailError(TEMPORARY)."""
        found = {}
        if SCRAM in self._kinds:
            salt = secrets.token_bytes(16)
            work = partial(make_keys, password, salt, self._iterations)
            found[SCRAM] = str(await self._verifier.run(work))
        if CRAM in self._kinds:
            found[CRAM] = hmac_state.contexts("md5", password)
        return found

    def consider(self, match: Match, password: bytes) -> None:
        """Keep verifiers of a main password that just fitted, where they are missing.

        Returns at once; a task of its own does it, and what fails is tried at the next login.
        """
        address, stored = match.record.account.address, match.record.password
        if (
            not self._kinds
            or match.module.name != MODULE
            or not stored
            or len(self._tasks) >= _AT_ONCE
            or address in self._tasks
            or self._done.get(address) == mark_of(stored)
        ):
            return
        task = asyncio.get_running_loop().create_task(self._keep(address, stored, password))
        self._tasks[address] = task
        task.add_done_callback(lambda _: self._tasks.pop(address, None))

    async def close(self) -> None:
        """Let what is under way end."""
        if self._tasks:
            await asyncio.wait(set(self._tasks.values()))

    async def _keep(self, address: str, stored: str, password: bytes) -> None:
        try:
            missing = await self._database.run(
                lambda c: set(self._kinds) - read(c, address, stored).keys()
            )
            if missing:
                made = await self.derive(password)
                await self._database.run(lambda c: add(c, address, stored, made), write=True)
                log.info("verifiers derived", address=address, kinds=sorted(made))
        except MailError as error:
            log.info("verifiers not derived", address=address, reason=error.text)
            return
        self._done[address] = mark_of(stored)
        self._done.move_to_end(address)
        if len(self._done) > _REMEMBERED:
            self._done.popitem(last=False)
