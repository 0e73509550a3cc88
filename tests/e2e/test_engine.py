"""What a killed run leaves behind is removed, and nothing of those that live."""

import subprocess
import sys

import docker.errors
import pytest

from tests.e2e import engine, images

pytestmark = pytest.mark.e2e


@pytest.fixture
def dead_owner() -> str:
    """Return the owner mark of a process that has ended."""
    waits = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(waits, stdin=subprocess.PIPE) as process:
        return f"{process.pid}-{engine.started(process.pid)}"


def exists(kind: str, name: str) -> bool:
    """Return whether the engine has a thing of that kind and name."""
    try:
        getattr(engine.client(), kind).get(name)
    except docker.errors.NotFound:
        return False
    return True


def test_leftovers_are_removed(dead_owner: str) -> None:
    made = {}
    for owner in (dead_owner, engine.OWNER):
        name, labels = f"restante-e2e-leftover-{owner}", {engine.LABEL: owner}
        network = engine.client().networks.create(name, labels=labels)
        volume = engine.client().volumes.create(name, labels=labels)
        container = engine.client().containers.create(
            images.restante(),
            ["infinity"],
            entrypoint=["sleep"],
            name=name,
            labels=labels,
            network=name,
            volumes={name: {"bind": "/srv/mail", "mode": "rw"}},
        )
        made[owner] = (container, network, volume)
    gone = f"restante-e2e-leftover-{dead_owner}"
    try:
        assert engine.remove_leftovers().count(gone) == 3
        for kind in ("containers", "networks", "volumes"):
            assert not exists(kind, gone)
            assert exists(kind, f"restante-e2e-leftover-{engine.OWNER}")
    finally:
        made[engine.OWNER][0].remove(force=True)
        for thing in made[engine.OWNER][1:]:
            thing.remove()
