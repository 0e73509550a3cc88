"""The image of the five services: what is in it, what is not, and that it can be made again."""

import json
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e import engine, images
from tests.support.process import ROOT

pytestmark = pytest.mark.e2e


def _run(command: str, **options: Any) -> str:
    """Run a shell command in a fresh container of the image; return what it printed."""
    printed = engine.client().containers.run(
        images.restante(),
        ["-c", command],
        entrypoint="sh",
        remove=True,
        labels=engine.LABELS,
        network_mode="none",
        **options,
    )
    text: str = printed.decode()
    return text


def test_it_runs_as_nobody_special() -> None:
    config = engine.client().images.get(images.restante()).attrs["Config"]
    assert config["User"] == "5000:5000"
    assert config["Entrypoint"] == ["tini", "--", "restante"]
    assert config["Healthcheck"]["Test"] == ["CMD", "restante", "healthy"]
    assert config["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert _run("id -u; id -g; stat -c %u:%g:%a /var/lib/restante /srv/mail").split() == [
        "5000",
        "5000",
        "5000:5000:700",
        "5000:5000:711",
    ]


def test_no_tools_to_build_or_install_with() -> None:
    looked = "for name in gcc cc make pip pip3 uv git; do command -v $name; done; true"
    assert _run(looked) == ""


def test_it_needs_no_writable_root() -> None:
    tmpfs = {"/tmp": "", "/var/lib/restante": "uid=5000,mode=0700"}
    version = _run("restante --version", read_only=True, tmpfs=tmpfs, cap_drop=["ALL"])
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] in version


def test_the_sbom_names_what_is_installed() -> None:
    sbom = json.loads(_run("cat /opt/restante/sbom.cdx.json"))
    assert sbom["bomFormat"] == "CycloneDX"
    named = {(one["name"].lower(), one.get("version")) for one in sbom["components"]}
    listed = _run(
        "cd /opt/restante/lib/python3*/site-packages"
        " && for one in *.dist-info; do grep -m1 '^Name: ' $one/METADATA;"
        " grep -m1 '^Version: ' $one/METADATA; done"
    )
    assert _packages(listed) - {("restante", _version())} <= named


def test_the_layers_carry_no_time_of_their_build() -> None:
    """A file of a later date in the layers of ours would make each build another image."""
    assert _run("find /opt/restante /srv /run/restante -newermt 1970-01-02") == ""


@pytest.mark.campaign
def test_two_builds_have_the_same_layers() -> None:
    def layers() -> list[str]:
        dockerfile = "deploy/docker/Dockerfile"
        name = "restante:e2e-again"
        images.build_afresh(name, dockerfile)
        image = engine.client().images.get(name)
        found: list[str] = image.attrs["RootFS"]["Layers"]
        engine.client().images.remove(name)
        return found

    assert layers() == layers()


def _version() -> str:
    version: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return version


def _packages(listed: str) -> set[tuple[str, str]]:
    values: Iterator[str] = (line.partition(": ")[2].strip() for line in listed.splitlines())
    return {(name.lower().replace("_", "-"), next(values)) for name in values}
