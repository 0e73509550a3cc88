"""A container that cannot work says so in one clear line, and does not pretend to be well."""

from typing import Any

import pytest

from tests.e2e import engine, images
from tests.e2e.stack import Stack

pytestmark = pytest.mark.e2e


def end_of(command: list[str], env: dict[str, str], **more: Any) -> tuple[int, list[str]]:
    """Run a service that is expected to end; return its exit code and what it said."""
    container = engine.client().containers.run(
        images.restante(),
        command,
        environment=env,
        labels=engine.LABELS,
        detach=True,
        read_only=True,
        cap_drop=["ALL"],
        tmpfs={"/tmp": "", "/var/lib/restante": "uid=5000,gid=5000,mode=0700"},
        **more,
    )
    try:
        code = int(container.wait(timeout=60)["StatusCode"])
        return code, container.logs().decode().strip().splitlines()
    finally:
        container.remove(force=True, v=True)


@pytest.mark.parametrize("service", ["delivery", "imap", "pop3"])
def test_a_volume_without_its_mark(service: str) -> None:
    code, said = end_of([service], {"RESTANTE_WORKERS": "1"})
    assert code != 0
    (line,) = [line for line in said if "cannot start" in line]
    assert "no .restante-volume in /srv/mail" in line


def test_a_missing_secret() -> None:
    code, said = end_of(["auth"], {"RESTANTE_AUTH_SECRET_FILE": "/run/secrets/auth.secret"})
    assert code == 78
    assert len(said) == 1
    assert "RESTANTE_AUTH_SECRET_FILE: cannot read '/run/secrets/auth.secret'" in said[0]


@pytest.mark.parametrize(
    ("service", "name", "value"),
    [
        ("imap", "RESTANTE_WORKERS", "many"),
        ("delivery", "RESTANTE_DELIVERY_LMTP_LISTEN", "everywhere"),
        ("pop3", "RESTANTE_DRAIN_SECONDS", "-1"),
    ],
)
def test_a_bad_setting(service: str, name: str, value: str) -> None:
    code, said = end_of([service], {name: value})
    assert code == 78
    assert len(said) == 1
    assert name in said[0]


def test_a_bad_setting_of_exim() -> None:
    container = engine.client().containers.run(
        images.exim(),
        environment={"EXIM_VERIFY": "perhaps"},
        labels=engine.LABELS,
        detach=True,
        tmpfs={"/run/restante-exim": "uid=5000,gid=5000"},
    )
    try:
        assert container.wait(timeout=60)["StatusCode"] == 78
        said = container.logs().decode().strip().splitlines()
        assert len(said) == 1
        assert "EXIM_VERIFY" in said[0]
    finally:
        container.remove(force=True, v=True)


def test_containers_are_hardened(stack: Stack) -> None:
    """As they run: no root, no capability, nothing to write to but what is meant for it."""
    for node in stack.services():
        status = node.run("cat", "/proc/1/status").decode()
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert fields["Uid"].split() == ["5000"] * 4
        assert {fields[f"Cap{kind}"] for kind in ("Eff", "Prm", "Bnd")} == {"0000000000000000"}
        assert fields["NoNewPrivs"] == "1"
        for place in ("/opt/restante/x", "/etc/x", "/run/secrets/x"):
            said = node.run("sh", "-c", f"touch {place} 2>&1; true").decode()
            assert "Read-only file system" in said
