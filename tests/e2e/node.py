"""One container of a stack, by whatever it was started: run things in it, and do it harm."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker.errors

from tests.e2e import engine


@dataclass
class Node:
    """A container; `name` is its service and number, such as "imap-1"."""

    name: str
    container: Any

    @property
    def id(self) -> str:
        """The engine's full id."""
        return str(self.container.id)

    @property
    def service(self) -> str:
        """The service's name, without the number."""
        return self.name.rpartition("-")[0]

    def publishes(self, inside: int) -> bool:
        """Return whether a port of the container is published."""
        return f"{inside}/tcp" in (self.container.attrs["HostConfig"]["PortBindings"] or {})

    def port(self, inside: int) -> int:
        """Return the port of 127.0.0.1 that leads to a port of the container."""
        bindings = self.container.attrs["HostConfig"]["PortBindings"] or {}
        return int(bindings[f"{inside}/tcp"][0]["HostPort"])

    def run(self, *words: str, typed: bytes = b"", check: bool = True, user: str = "") -> bytes:
        """Run a program inside to its end; return its stdout. AssertionError on a failure."""
        as_user = ("--user", user) if user else ()
        done = subprocess.run(
            ["docker", "exec", "-i", *as_user, self.id, *words],
            input=typed,
            capture_output=True,
            check=False,
            timeout=120,
        )
        if check:
            assert done.returncode == 0, f"{words}: {(done.stdout + done.stderr).decode()[-3000:]}"
        return done.stdout

    def log(self, last: int | None = None) -> str:
        """Return what it has printed."""
        tail: str | int = "all" if last is None else last
        return str(self.container.logs(tail=tail).decode(errors="replace"))

    def status(self) -> str:
        """Return the engine's word: running, paused, exited, restarting."""
        self.container.reload()
        return str(self.container.status)

    def pids(self) -> Sequence[int]:
        """Return the main process as this machine sees it; none where the engine is elsewhere."""
        self.container.reload()
        pid = int(self.container.attrs["State"]["Pid"])
        with contextlib.suppress(OSError):
            if self.id in Path(f"/proc/{pid}/cgroup").read_text():
                return [pid]
        return []

    def kill(self) -> None:
        """kill -9, as a crash: the engine starts it again by its restart policy.

        Where we may not send signals to its process, the engine kills it, which counts as wanted,
        and it is started by hand.
        """
        try:
            pids = self.pids()
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
        except PermissionError:
            pids = []
        if not pids:
            self.container.kill("SIGKILL")
            self.container.start()

    def stop(self, seconds: int = 10) -> None:
        """SIGTERM, and no restart."""
        self.container.stop(timeout=seconds)

    def start(self) -> None:
        """Start it again."""
        self.container.start()

    def pause(self) -> None:
        """Freeze all its processes; where they fork all the time that needs some tries."""
        for left in range(20, -1, -1):
            try:
                self.container.pause()
            except docker.errors.APIError as error:
                if "unable to freeze" not in str(error) or not left:
                    raise
            else:
                return

    def unpause(self) -> None:
        """Let them go on."""
        self.container.unpause()

    def disconnect(self) -> dict[str, dict[str, Any]]:
        """Cut it off from all networks; return what `connect` needs."""
        self.container.reload()
        networks = {}
        for name, found in self.container.attrs["NetworkSettings"]["Networks"].items():
            aliases = [one for one in found.get("Aliases") or [] if not self.id.startswith(one)]
            fixed = (found.get("IPAMConfig") or {}).get("IPv4Address")
            networks[name] = {"aliases": aliases, **({"ipv4_address": fixed} if fixed else {})}
        for name in networks:
            engine.client().networks.get(name).disconnect(self.id, force=True)
        return networks

    def connect(self, networks: dict[str, dict[str, Any]]) -> None:
        """Connect it again, under the names and the fixed address that it had."""
        for name, options in networks.items():
            engine.client().networks.get(name).connect(self.id, **options)
