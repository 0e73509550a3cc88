"""What tests share that run pods."""

from pathlib import Path

import pytest

from tests.k8s.engine import docker, image


@pytest.fixture(scope="session")
def secret_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Secrets, by the command in docs/scale.md."""
    place = tmp_path_factory.mktemp("k8s-secrets")
    words = ["run", "--rm", "--user=0:0", "--tmpfs=/tmp", "--env=RESTANTE_MAIL_ROOT=/tmp/mail"]
    words += [f"--volume={place}:/made", image("restante:0.2.0"), "init"]
    for name in ("secrets", "tls", "rpc"):
        words += [f"--{name}", f"/made/restante-{name}"]
    docker(*words, "--host", "mail.example.org")
    return place
