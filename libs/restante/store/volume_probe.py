"""Looks after mail volumes for the metrics: there, how large, how full.

A volume whose server hangs holds the thread that asked, for as long as it hangs: each volume has
one of its own, and while that has not come back the volume counts as absent.
"""

import os
import threading
from collections.abc import Iterable
from pathlib import Path

from restante.model import MailError
from restante.store import metrics
from restante.store.volume import check_volume


class VolumeProbe:
    """Used on the event loop's thread."""

    def __init__(self, volumes: Iterable[Path]) -> None:
        self._threads: dict[Path, threading.Thread | None] = dict.fromkeys(volumes)

    def look(self) -> None:
        """Ask for every volume. Returns at once; the metrics follow."""
        for volume, thread in self._threads.items():
            if thread is not None and thread.is_alive():
                metrics.VOLUME_PRESENT.labels(str(volume)).set(0)
                continue
            fresh = threading.Thread(
                target=_measure, args=(volume,), name="volume probe", daemon=True
            )
            self._threads[volume] = fresh
            fresh.start()

    def wait(self) -> None:
        """Return when what was asked is known. BLOCKING, for as long as a server hangs."""
        for thread in self._threads.values():
            if thread is not None:
                thread.join()


def _measure(volume: Path) -> None:
    name = str(volume)
    present = metrics.VOLUME_PRESENT.labels(name)
    try:
        check_volume(volume)
        found = os.statvfs(volume)
    except (MailError, OSError):
        present.set(0)
        return
    metrics.VOLUME_SIZE.labels(name).set(found.f_blocks * found.f_frsize)
    metrics.VOLUME_FREE.labels(name).set(found.f_bavail * found.f_frsize)
    metrics.VOLUME_INODES.labels(name).set(found.f_files)
    metrics.VOLUME_FREE_INODES.labels(name).set(found.f_favail)
    present.set(1)
