"""The Docker engine that the end-to-end tests run on: is there one, and what was left on it.

Everything that a run makes carries LABEL with the run's owner, "PID-STARTTIME" of the process of
pytest; images carry IMAGE_LABEL. What a run leaves behind because it was killed is removed at the
start of the next one: its owner is no living process. Compose marks its own things with the name
of the project, which holds the owner.
"""

import atexit
import contextlib
import functools
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final

os.environ["TESTCONTAINERS_RYUK_DISABLED"] = (
    "true"  # we clean up ourselves, and it is an image more
)

import docker
import docker.errors

LABEL: Final = "restante.e2e"
IMAGE_LABEL: Final = "restante.e2e.image"
PROJECT_PREFIX: Final = "restante-e2e-"
KEEP: Final = "RESTANTE_E2E_KEEP"
_COMPOSE_PROJECT: Final = "com.docker.compose.project"


def started(pid: int) -> str:
    """Return the kernel's start time of a process, "" where there is none (proc(5), stat)."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return ""


OWNER: Final = f"{os.getpid()}-{started(os.getpid())}"
LABELS: Final = {LABEL: OWNER}


@functools.cache
def client() -> Any:
    """Return the client of docker-py, which has no types. Raises docker.errors.DockerException."""
    return docker.from_env(timeout=180)


@functools.cache
def missing() -> str | None:
    """Return why there is no usable engine, None where there is one."""
    try:
        if client().info().get("OSType") != "linux":
            return "the Docker engine does not run Linux containers"
    except (docker.errors.DockerException, OSError) as error:
        if "Permission" in str(error):
            return "no permission to use the Docker engine"
        return "no Docker engine runs here"
    return None


def _alive(owner: str) -> bool:
    pid, _, since = owner.partition("-")
    return pid.isdigit() and bool(since) and started(int(pid)) == since


def _owner(labels: dict[str, str] | None) -> str | None:
    """Return who made a thing; None where it is not ours."""
    labels = labels or {}
    if LABEL in labels:
        return labels[LABEL]
    project = labels.get(_COMPOSE_PROJECT, "")
    if project.startswith(PROJECT_PREFIX):
        return project.removeprefix(PROJECT_PREFIX).partition("_")[0]
    return None


def remove(whose: Callable[[str], bool]) -> list[str]:
    """Remove containers, networks and volumes of the owners that `whose` picks; return names."""
    engine, removed = client(), []
    for container in engine.containers.list(all=True, ignore_removed=True):
        owner = _owner(container.labels)
        if owner is not None and whose(owner):
            with contextlib.suppress(docker.errors.NotFound):
                container.remove(force=True, v=True)
            removed.append(container.name)
    for network in engine.networks.list():
        owner = _owner(network.attrs.get("Labels"))
        if owner is not None and whose(owner):
            network.reload()
            for found in network.attrs.get("Containers") or {}:
                with contextlib.suppress(docker.errors.DockerException):
                    network.disconnect(found, force=True)
            with contextlib.suppress(docker.errors.NotFound):
                network.remove()
            removed.append(network.name)
    for volume in engine.volumes.list():
        owner = _owner(volume.attrs.get("Labels"))
        if owner is not None and whose(owner):
            with contextlib.suppress(docker.errors.NotFound):
                volume.remove(force=True)
            removed.append(volume.name)
    return removed


def remove_leftovers() -> list[str]:
    """Remove what runs that were killed, or that kept their stack, left behind."""
    return remove(lambda owner: not _alive(owner))


def remove_ours() -> None:
    """Remove all that this run made and has not removed yet, unless RESTANTE_E2E_KEEP is set."""
    if not os.environ.get(KEEP):
        remove(OWNER.__eq__)


def clean_up_at_the_end() -> None:
    """Have everything removed at the end, also after an error, Ctrl-C or SIGTERM."""
    atexit.register(remove_ours)

    def interrupted(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupted)
