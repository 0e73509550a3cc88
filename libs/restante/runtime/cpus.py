"""How many CPUs this process may use: affinity, and the quota of its control group (cgroup).

A container limited to two CPUs of a machine of 64 sees 64 by affinity; 64 workers in it would only
throttle each other.
"""

import os
from pathlib import Path
from typing import Final

_ROOT: Final = Path("/sys/fs/cgroup")
_MEMBERSHIP: Final = Path("/proc/self/cgroup")


def usable_cpus(root: Path = _ROOT, membership: Path = _MEMBERSHIP) -> int:
    """Return the number of CPUs, rounded up, at least 1."""
    allowed = len(os.sched_getaffinity(0))
    quotas = [quota for quota in (_quota_v2(root, membership), _quota_v1(root)) if quota]
    return max(1, min([allowed, *quotas]))


def _quota_v2(root: Path, membership: Path) -> int:
    """The smallest cpu.max ("200000 100000" or "max 100000") on the way up to the root; 0: none."""
    try:
        line = next(li for li in membership.read_text().splitlines() if li.startswith("0::"))
    except (OSError, StopIteration):
        return 0
    found = []
    group = root / line[3:].lstrip("/")
    while root in (group, *group.parents):
        try:
            quota, period = (group / "cpu.max").read_text().split()
            if quota != "max":
                found.append(-(-int(quota) // int(period)))
        except (OSError, ValueError, ZeroDivisionError):
            pass  # the root group has none
        group = group.parent
    return min(found, default=0)


def _quota_v1(root: Path) -> int:
    """cpu.cfs_quota_us by cpu.cfs_period_us as a container sees its own; 0: none."""
    try:
        quota = int((root / "cpu/cpu.cfs_quota_us").read_text())
        period = int((root / "cpu/cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return 0
    return -(-quota // period) if quota > 0 and period > 0 else 0
