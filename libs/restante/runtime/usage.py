"""What a worker process uses: memory, processor, open files, threads. Looked at on each beat."""

import os
import resource
from pathlib import Path
from typing import Final

from restante.runtime.metrics import Counter, Gauge

_MEMORY: Final = Gauge(
    "restante_worker_resident_memory_bytes", "Memory that the worker has in use.", ("worker",)
)
_CPU: Final = Counter(
    "restante_worker_cpu_seconds_total", "Processor time of the worker.", ("worker",)
)
_FILES: Final = Gauge(
    "restante_worker_open_files", "File descriptors that the worker has open.", ("worker",)
)
_FILES_LIMIT: Final = Gauge(
    "restante_worker_open_files_limit", "How many it may have open.", ("worker",)
)
_THREADS: Final = Gauge("restante_worker_threads", "Threads of the worker.", ("worker",))

_PAGE: Final = resource.getpagesize()


class Usage:
    """Looks at this process."""

    def __init__(self, worker: int) -> None:
        """`worker` is its number within the service, from 0: it stays when one is started again."""
        label = str(worker)
        self._memory, self._cpu = _MEMORY.labels(label), _CPU.labels(label)
        self._files, self._threads = _FILES.labels(label), _THREADS.labels(label)
        _FILES_LIMIT.labels(label).set(resource.getrlimit(resource.RLIMIT_NOFILE)[0])

    def look(self) -> None:
        """Take the numbers of now. OSError where /proc is not there."""
        stat = Path("/proc/self/stat").read_text("utf-8", "replace").rpartition(") ")[2].split(" ")
        self._threads.set(int(stat[17]))
        self._memory.set(int(stat[21]) * _PAGE)
        times = os.times()
        self._cpu.set(times.user + times.system)
        # The kernel since 6.2 tells the number as the size; before, one must count.
        self._files.set(os.stat("/proc/self/fd").st_size or len(os.listdir("/proc/self/fd")))
