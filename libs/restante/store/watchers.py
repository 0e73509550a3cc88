"""Who wants to hear of changes of a folder, and the refresh that hints ask for."""

import asyncio
import logging
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from restante.model import MailError
from restante.store import metrics

if TYPE_CHECKING:
    from restante.store.hints import Watch
    from restante.store.mailbox import Mailbox

_log: Final = logging.getLogger(__name__)


class Watchers:
    """Callbacks of one event loop for one mailbox, and the refresh that hints ask for."""

    __slots__ = ("_again", "_callbacks", "_called", "_loop", "_mailbox", "_task", "_watch")

    def __init__(self, mailbox: "Mailbox") -> None:
        self._mailbox = mailbox
        self._loop = asyncio.get_running_loop()
        self._callbacks: dict[object, Callable[[], None]] = {}
        self._called = False
        self._watch: Watch | None = None
        self._task: asyncio.Task[None] | None = None
        self._again = False

    def add(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Register a callback; returns what ends it."""
        if not self._callbacks:
            self._begin()
        key = object()
        self._callbacks[key] = callback

        def end() -> None:
            if self._callbacks.pop(key, None) is not None and not self._callbacks:
                self._end()

        return end

    def notify(self) -> None:
        """Call everyone soon, once for many changes. Any thread."""
        if not self._called:
            self._called = True
            try:
                self._loop.call_soon_threadsafe(self._call)
            except RuntimeError:  # the loop is closed
                self._called = False

    def _call(self) -> None:
        self._called = False
        for callback in list(self._callbacks.values()):
            callback()

    def _begin(self) -> None:
        mailbox = self._mailbox
        owner = mailbox.owner
        with owner.acting():
            folder = mailbox.open_folder()
            try:
                self._watch = owner.store.hints.watch(
                    owner.maildir, mailbox.name, folder, self._hinted
                )
            finally:
                os.close(folder)

    def _end(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _hinted(self) -> None:
        """Refresh in the pool; a hint that comes meanwhile asks for one more."""
        rescan = self._watch is not None and self._watch.hints.rescanning
        if not rescan:
            metrics.HINTS_HEARD.inc()
        if self._task is not None:
            self._again = True
            return
        self._task = self._loop.create_task(self._refresh(rescan=rescan))

    async def _refresh(self, *, rescan: bool) -> None:
        pool = self._mailbox.owner.store.pool
        try:
            while True:
                self._again = False
                started = time.perf_counter()
                moved = await pool.run_as(self._mailbox.owner.identity, self._mailbox.refresh)
                if rescan:
                    (metrics.RESCAN_FOUND if moved else metrics.RESCAN_NOTHING).inc()
                elif moved:
                    metrics.NOTICE.observe(time.perf_counter() - started)
                if not self._again:
                    return
                rescan = False
        except MailError as error:
            _log.info("a watched folder could not be refreshed: %s", error)
        finally:
            self._task = None
