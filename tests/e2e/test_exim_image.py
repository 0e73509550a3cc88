"""The image of exim by itself: no capability, a read-only root, clear words, a clean end."""

import subprocess
import uuid
from collections.abc import Iterator

import pytest

from tests.e2e import images

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

RUN = "/run/restante-exim:uid=5000,gid=5000,mode=0750"
LOCKED = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--tmpfs", RUN)


def docker(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["docker", *words], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def name() -> Iterator[str]:
    chosen = f"exim-{uuid.uuid4().hex[:12]}"
    yield chosen
    docker("rm", "-f", "-v", chosen)


def wait_healthy(name: str) -> None:
    """Ask as the engine does, until it is well; the container's end ends this, too."""
    done = docker(
        "exec", name, "bash", "-c",
        "for i in {1..300}; do /etc/exim4/restante/healthy 2>/dev/null && exit; sleep 0.1; done; "
        "exit 1",
    )  # fmt: skip
    assert done.returncode == 0, docker("logs", name).stdout


def test_it_runs_without_privileges_and_ends_cleanly(name: str) -> None:
    settings = ("-e", "EXIM_AUTH_TLS=no", "-e", "EXIM_DOMAINS=example.test")
    started = docker("run", "-d", "--name", name, *LOCKED, *settings, images.exim())
    assert started.returncode == 0, started.stderr
    wait_healthy(name)
    status = docker("exec", name, "cat", "/proc/1/status").stdout
    assert "CapEff:\t0000000000000000" in status
    assert "Uid:\t5000\t5000\t5000\t5000" in status
    # Nobody answers behind it: mail for a known domain waits at its sender's.
    said = docker(
        "exec", name, "bash", "-c",
        "exec 3<>/dev/tcp/127.0.0.1/25; read -r -u 3; for line in 'HELO x' 'MAIL FROM:<a@b.test>' "
        "'RCPT TO:<fred@example.test>'; do echo \"$line\" >&3; read -r -u 3 said; "
        "echo \"$said\"; done",
    )  # fmt: skip
    assert said.stdout.splitlines()[-1].startswith("451 ")
    assert docker("stop", "-t", "30", name).returncode == 0
    assert docker("inspect", "-f", "{{.State.ExitCode}}", name).stdout.strip() == "0"
    assert "daemon started" in docker("logs", name).stdout


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("-e", "EXIM_SMTP_PORT=x"), "exim: wrong setting EXIM_SMTP_PORT: expected a port"),
        ((), "exim: EXIM_AUTH_CA /run/rpc/ca.crt cannot be read"),
    ],
)
def test_what_is_missing_is_one_line(name: str, options: tuple[str, ...], text: str) -> None:
    done = docker("run", "--name", name, *LOCKED, *options, images.exim())
    assert done.returncode == 78
    (line,) = done.stderr.splitlines()
    assert line.startswith(text)
