"""What a tree of processes costs in CPU and memory, by /proc; what the bare disk can do."""

import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path

_TICK = 1000 / os.sysconf("SC_CLK_TCK")


def tree(roots: Iterable[int]) -> list[int]:
    """Return the pids of `roots` and all their descendants that live now."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := _stat(int(entry))):
            children.setdefault(int(fields[1]), []).append(int(entry))
    found: list[int] = []
    queue = list(roots)
    while queue:
        pid = queue.pop()
        found.append(pid)
        queue += children.get(pid, [])
    return found


def cpu_ms(roots: Iterable[int]) -> float:
    """Return the CPU time used so far by the trees, children that ended included, in ms.

    Children count once their parent has waited for them, so differences are right to some ticks.
    """
    total = 0
    for pid in tree(roots):
        if fields := _stat(pid):
            total += sum(int(value) for value in fields[11:15])  # utime stime cutime cstime
    return total * _TICK


def pss_kib(roots: Iterable[int]) -> int:
    """Return the proportional set size of the trees: shared pages are divided among their users."""
    total = 0
    for pid in tree(roots):
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue  # it ended meanwhile
        for line in text.splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/pid/stat behind the name: state, ppid, ...; [] if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def disk_rate(folder: Path, threads: int, seconds: float) -> float:
    """Return 4 KiB files a second by write, fsync, rename, fsync of the directory."""
    folder.mkdir()
    payload = os.urandom(4096)
    deadline = time.monotonic() + seconds
    counts = [0] * threads

    def work(number: int) -> None:
        directory = os.open(folder, os.O_RDONLY)
        while time.monotonic() < deadline:
            name = f"{number}.{counts[number]}"
            fd = os.open(f"t{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=directory)
            os.write(fd, payload)
            os.fsync(fd)
            os.close(fd)
            os.rename(f"t{name}", f"m{name}", src_dir_fd=directory, dst_dir_fd=directory)
            os.fsync(directory)
            counts[number] += 1
        os.close(directory)

    start = time.monotonic()
    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(counts) / (time.monotonic() - start)
