"""Whether a worker can do its work: what it needs is asked for, again and again.

- Until everything is there for the first time a worker is not ready, and asks five times a second.
- Once it was ready, something must be away for GRACE seconds before it is told: a restart of auth
  or a moment's stall takes no replica out of service.
- What does not answer within PATIENCE counts as away.

Each change is told to the parent (/readyz) and logged once, with the reason.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from restante.model import MailError
from restante.runtime.log import get_logger

Need = Callable[[], Awaitable[None]]
"""Passes where it is there; raises MailError or OSError with a text for the operator."""

GRACE: Final = 5.0  # seconds
PATIENCE: Final = 3.0
EVERY: Final = 1.0
EVERY_AT_START: Final = 0.2

_log = get_logger(__name__)


class Readiness:
    """Watches the needs of one worker; made inside its loop."""

    def __init__(self, needs: Mapping[str, Need], tell: Callable[[bool, str], None]) -> None:
        """`needs` by the name that the operator reads; `tell(ready, reason)` hears changes."""
        self._needs = needs
        self._tell = tell
        self._ready = False
        self._was_ready = False
        self._reason = ""
        self._away_since = 0.0  # loop time; 0: everything is there

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(EVERY if self._was_ready else EVERY_AT_START)

    async def look(self) -> None:
        """Ask once for everything, and tell what changed."""
        loop = asyncio.get_running_loop()
        found = await asyncio.gather(*(self._ask(*need) for need in self._needs.items()))
        reason = "; ".join(filter(None, found))
        if not reason:
            self._away_since = 0.0
            if not self._ready:
                self._tell(True, "")
                if self._reason:
                    _log.info("ready", after=self._reason)
                self._ready, self._was_ready, self._reason = True, True, ""
            return
        self._away_since = self._away_since or loop.time()
        if self._was_ready and loop.time() - self._away_since < GRACE:
            return
        if self._ready or reason != self._reason:
            self._tell(False, reason)
            _log.warning("not ready", reason=reason)
        self._ready, self._reason = False, reason

    async def _ask(self, name: str, need: Need) -> str:
        try:
            async with asyncio.timeout(PATIENCE):
                await need()
        except TimeoutError:
            return f"{name} does not answer"
        except MailError as error:
            return f"{name}: {error.text}"
        except OSError as error:
            return f"{name}: {error.strerror or error}"
        return ""
