"""A rolling upgrade in containers: release 0.1.0 and this tree on one volume, database and Redis.

The old image is built from the history with today's Dockerfile. Replicas with number 1 are old,
those with number 2 new; auth goes from old to new and back while both kinds of workers run.
"""

import io
import tarfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import engine, images
from tests.e2e.node import Node
from tests.e2e.stack import PASSWORD, Stack, wait_until
from tests.support.process import ROOT
from tests.support.release import OLD, unpack
from tests.support.sides import Side, work_together

pytestmark = pytest.mark.e2e

USER = "fred@example.test"
WORKERS = ("delivery", "imap", "pop3")
_OURS = ("deploy/docker/Dockerfile", "deploy/docker/finish")


@pytest.fixture(scope="module")
def old_image(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the image of release 0.1.0, built once for each Dockerfile."""
    return _old_image(unpack(tmp_path_factory.mktemp("release") / "tree"))


@cache
def _old_image(tree: Path) -> str:
    name = f"restante-old:e2e-{OLD}"
    base = images.third_party("debian:bookworm-slim")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for path in ("pyproject.toml", "uv.lock", "README.md", "LICENSE", "libs", "services"):
            archive.add(tree / path, path)
        for path in _OURS:
            archive.add(ROOT / path, path)
    said = []
    for line in engine.client().api.build(
        fileobj=io.BytesIO(out.getvalue()),
        custom_context=True,
        dockerfile=_OURS[0],
        tag=name,
        labels={engine.IMAGE_LABEL: name},
        # The extra for traces is newer than that release.
        buildargs={
            "BASE": base,
            "VERSION": "0.1.0",
            "EXTRAS": "--extra postgres --extra mysql --extra pam",
        },
        rm=True,
        forcerm=True,
        decode=True,
    ):
        said.append(str(line.get("stream") or line.get("error") or ""))
        if "error" in line:
            pytest.fail(f"the image {name} cannot be built:\n{''.join(said)[-4000:]}")
    return name


class Mixed(Stack):
    """A stack whose replicas with odd numbers are of the old release."""

    def __init__(self, old_image: str) -> None:
        super().__init__(replicas={"auth": 1, "delivery": 2, "imap": 2, "pop3": 2})
        self._old = old_image

    def run_node(self, name: str, image: str, *args: Any, **options: Any) -> Node:
        service, _, number = name.rpartition("-")
        if service in {"auth", *WORKERS} and int(number) % 2:
            image = self._old
        return super().run_node(name, image, *args, **options)

    def side(self, number: int) -> Side:
        """Return the user at the replicas of a number: 1 is old, 2 is new."""
        ports = {"imap": ("imap", 1143), "pop3": ("pop3", 1110), "lmtp": ("delivery", 2424)}

        def address(name: str) -> tuple[str, int]:
            service, port = ports[name]
            return "127.0.0.1", self.nodes[f"{service}-{number}"].port(port)

        return Side(address, USER, PASSWORD)

    def another_auth(self, number: int) -> None:
        """Start auth in the other release, then end the one that runs."""
        before = self.nodes[f"auth-{number - 1}"]
        self.start_service("auth", number)
        self.wait_ready()
        before.container.stop(timeout=20)
        del self.nodes[before.name]
        self.wait_ready()
        # Exim would try again. The old release asks for names at most twice a minute, and is ready
        # also while it looks for auth.
        for number, release in ((2, "this tree"), (1, "0.1.0")):
            took = wait_until(f"{release} finds the other auth", self.side(number).works, 240)
            print(f"workers of {release} found the other auth after {took:.1f} s")


def test_upgrade_and_back(old_image: str) -> None:
    """Old auth, new auth, new alone, old alone: at every step both sides agree."""
    with Mixed(old_image) as stack:
        stack.add_account(USER)
        old, new = stack.side(1), stack.side(2)
        work_together(old, new, "a")
        stack.another_auth(2)
        work_together(new, old, "b")
        before = old.state(), old.uidls()
        for name in WORKERS:
            stack.nodes[f"{name}-1"].container.stop(timeout=20)
        assert (new.state(), new.uidls()) == before
        new.deliver("the old release is away")
        for name in WORKERS:
            stack.nodes[f"{name}-1"].container.start()
        stack.another_auth(3)
        work_together(old, new, "c")
        before = new.state(), new.uidls()
        for name in WORKERS:
            stack.nodes[f"{name}-2"].container.stop(timeout=20)
        assert (old.state(), old.uidls()) == before
