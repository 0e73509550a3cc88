"""The whole system by compose.yaml, as an operator starts it, under a project of its own.

Ports, network, images and the number of replicas are settings of its env file; nothing else is
changed. `docker compose` (v2) or docker-compose (1.29) runs it, whichever is there.
"""

import os
import random
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import pytest

from tests.e2e import engine, images
from tests.e2e.node import Node
from tests.e2e.stack import ALIASES, DOMAIN, PASSWORD, StartError, free_port, wait_until
from tests.support.process import ROOT

SCALE: Final = {"auth": 2, "delivery": 2, "imap": 3, "pop3": 2, "webmail": 2}
_PORT: Final = re.compile(r"^([A-Z0-9]+_PORT)=", re.MULTILINE)


@cache
def command() -> tuple[str, ...]:
    """Return the program, or skip."""
    for words in (("docker", "compose"), ("docker-compose",)):
        if shutil.which(words[0]):
            done = subprocess.run([*words, "version"], capture_output=True, check=False)
            if done.returncode == 0:
                return words
    pytest.skip("neither `docker compose` nor docker-compose is installed")


class ComposeStack:
    """compose.yaml of this tree."""

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        """`settings` win over those of .env."""
        self.folder = Path(tempfile.mkdtemp(prefix="restante-e2e-compose-"))
        self.project = f"{engine.PROJECT_PREFIX}{engine.OWNER}_{random.randrange(10**6):06d}"
        self.nodes: dict[str, Node] = {}
        exim = self.folder / "exim"
        exim.mkdir(mode=0o755)
        (exim / "aliases").write_text(ALIASES)
        # One client sends more than any should.
        limits = ("EXIM_RATE_CLIENT_M == 1000000/1m", "EXIM_RATE_USER_M == 1000000/1h", "")
        (exim / "local.conf").write_text("\n".join(limits))
        (exim / "domains").write_text(f"{DOMAIN}\ncatch.test\n")
        self.folder.chmod(0o755)
        plain = (ROOT / ".env").read_text()
        own = {
            "BIND_ADDRESS": "127.0.0.1",
            "BACK_NETWORK": f"10.{random.randrange(128, 192)}.{random.randrange(256)}",
            "RESTANTE_HOSTNAME": "localhost",  # for the certificate
            "RESTANTE_WORKERS": "1",
            "RESTANTE_IMAGE": images.restante(),
            "EXIM_IMAGE": images.exim(),
            "EXIM_VOLUME": str(exim),
            "COMPOSE_PROFILES": "dev",
            **{name: str(free_port()) for name in _PORT.findall(plain)},
            **(settings or {}),
        }
        for image in (images.POSTGRES, images.REDIS, images.HAPROXY):
            images.third_party(image)
        self.settings = own
        self.env_file = self.folder / "env"
        lines = [line for line in plain.splitlines() if line.partition("=")[0] not in own]
        self.env_file.write_text("\n".join([*lines, *(f"{k}={v}" for k, v in own.items()), ""]))

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.stop()

    def run(self, *words: str, check: bool = True, timeout: float = 300) -> str:
        """Run compose on this project; return what it says. Raises StartError."""
        base = ("--project-name", self.project, "--env-file", str(self.env_file))
        done = subprocess.run(
            [*command(), *base, "-f", str(ROOT / "compose.yaml"), *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            cwd=ROOT,
            env={k: v for k, v in os.environ.items() if k not in self.settings},
        )
        if check and done.returncode:
            raise StartError(
                f"{words}: {done.stdout[-2000:]}\n{done.stderr[-3000:]}\n{self.logs()}"
            )
        return done.stdout + done.stderr

    def logs(self) -> str:
        """Return the last lines of every container."""
        return self.run("logs", "--tail", "8", "--no-color", check=False)[-12000:]

    def start(self, scale: Mapping[str, int] = SCALE) -> Self:
        """`up -d`, and wait until every service with a health check is well. Raises StartError."""
        self.up(scale)
        return self

    def up(self, scale: Mapping[str, int]) -> None:
        """Start, or scale, and wait."""
        scaled = [word for name, count in scale.items() for word in ("--scale", f"{name}={count}")]
        self.run("up", "-d", *scaled)
        self.find_nodes()
        try:
            wait_until("all containers are well", self._well, 120)
        except AssertionError as error:
            raise StartError(f"{error}: {self._states()}\n{self.logs()}") from None

    def find_nodes(self) -> None:
        """Look for the containers; "imap-2" is the second replica, "exim" the only one."""
        self.nodes.clear()
        found = engine.client().containers.list(
            all=True, filters={"label": f"com.docker.compose.project={self.project}"}
        )
        services = [one.labels["com.docker.compose.service"] for one in found]
        for one in found:
            service = one.labels["com.docker.compose.service"]
            number = one.labels["com.docker.compose.container-number"]
            several = service in SCALE or services.count(service) > 1
            name = f"{service}-{number}" if several else service
            self.nodes[name] = Node(name, one)

    def _states(self) -> dict[str, str]:
        states = {}
        for name, node in self.nodes.items():
            node.container.reload()
            state = node.container.attrs["State"]
            health = state.get("Health", {}).get("Status", "")
            done = state["Status"] == "exited" and state["ExitCode"] == 0
            states[name] = "done" if done else health or state["Status"]
        return states

    def _well(self) -> bool:
        return set(self._states().values()) <= {"healthy", "running", "done"}

    def stop(self) -> None:
        """Remove containers, networks and volumes."""
        if not os.environ.get(engine.KEEP):
            self.run("down", "-v", "--remove-orphans", "-t", "5", check=False)
            shutil.rmtree(self.folder, ignore_errors=True)

    def port(self, name: str) -> int:
        """Return the port of 127.0.0.1 that a setting such as "IMAP_PORT" names."""
        return int(self.settings[name])

    def add_account(self, address: str, *, quota: str = "", options: str = "") -> None:
        """Create an account, and its domain where it is new, by the command in a container."""
        auth = self.nodes["auth-1"]
        auth.run("restante", "domain", "add", address.rpartition("@")[2], check=False)
        more = [w for k, v in (("--quota", quota), ("--options", options)) if v for w in (k, v)]
        words = ("restante", "account", "add", address, "--password-stdin", *more)
        auth.run(*words, typed=PASSWORD.encode())

    def certificate(self) -> bytes:
        """Return the public certificate, which is self-signed."""
        return self.nodes["imap-1"].run("cat", "/run/tls/tls.crt")
