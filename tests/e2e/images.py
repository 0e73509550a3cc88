"""The images under test, built from the present tree; their tags say what they were built from.

A tag is a hash over the files that the Dockerfile copies, itself and the base image, and the
build's context is exactly these files: a stale image is never tested, an unchanged tree is built
once. RESTANTE_E2E_IMAGE and RESTANTE_E2E_EXIM_IMAGE name images to test in place of these.
"""

import contextlib
import datetime
import hashlib
import io
import os
import re
import subprocess
import tarfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import docker.errors
import pytest

from tests.e2e import engine
from tests.support.process import ROOT

POSTGRES: Final = "postgres:15-bookworm"
REDIS: Final = "redis:7-bookworm"
HAPROXY: Final = "haproxy:2.8-bookworm"
_BASE: Final = "debian:bookworm-slim"
_STAND_INS: Final = {_BASE: "base", POSTGRES: "postgres", REDIS: "redis", HAPROXY: "haproxy"}
_COPY = re.compile(r"^COPY\s+(?!--from)(.+?)\s+\S+\s*$", re.MULTILINE)


@cache
def third_party(name: str) -> str:
    """Have an image of others: here already, from a registry, or made of Debian's packages."""
    if not _present(name) and not _pulled(name):
        made = subprocess.run(
            [ROOT / "deploy/docker/local-base", _STAND_INS[name]],
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            pytest.fail(f"no image {name}: {(made.stdout + made.stderr)[-2000:]}")
    return name


@cache
def restante() -> str:
    """Return the name of the image of the five services."""
    return os.environ.get("RESTANTE_E2E_IMAGE") or _built("restante", "deploy/docker/Dockerfile")


@cache
def exim() -> str:
    """Return the name of exim's image."""
    given = os.environ.get("RESTANTE_E2E_EXIM_IMAGE")
    return given or _built("restante-exim", "deploy/exim/Dockerfile")


def _present(name: str) -> bool:
    try:
        engine.client().images.get(name)
    except docker.errors.ImageNotFound:
        return False
    return True


def _pulled(name: str) -> bool:
    try:
        engine.client().images.pull(*name.split(":"))
    except docker.errors.DockerException:
        return False
    return True


def _built(repository: str, dockerfile: str) -> str:
    base = engine.client().images.get(third_party(_BASE)).id
    context, digest = _context(dockerfile)
    name = f"{repository}:e2e-{hashlib.sha256((base + digest).encode()).hexdigest()[:16]}"
    if not _present(name):
        _build(name, dockerfile, context)
    _remove_older(repository, name)
    return name


def _context(dockerfile: str) -> tuple[bytes, str]:
    """Return the build's context as a tar archive, and its hash."""
    out, digest = io.BytesIO(), hashlib.sha256()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for file in _files(dockerfile):
            info = tarfile.TarInfo(str(file.relative_to(ROOT)))
            data = file.read_bytes()
            info.size = len(data)
            info.mode = 0o755 if os.access(file, os.X_OK) else 0o644
            archive.addfile(info, io.BytesIO(data))
            digest.update(f"{info.name} {info.mode} {info.size}\n".encode() + data)
    return out.getvalue(), digest.hexdigest()


def _files(dockerfile: str) -> Iterator[Path]:
    """Yield the Dockerfile and the files that its COPY lines take, in a fixed order."""
    yield ROOT / dockerfile
    text = (ROOT / dockerfile).read_text().replace("\\\n", " ")
    for copied in _COPY.finditer(text):
        for source in copied[1].split():
            if source.startswith("--"):
                continue
            for found in sorted(ROOT.glob(source.rstrip("/"))):
                tree = sorted(found.rglob("*")) if found.is_dir() else [found]
                yield from (
                    file for file in tree if file.is_file() and "__pycache__" not in file.parts
                )


def build_afresh(name: str, dockerfile: str) -> None:
    """Build an image with nothing taken from the cache."""
    third_party(_BASE)
    _build(name, dockerfile, _context(dockerfile)[0], nocache=True)


def _build(name: str, dockerfile: str, context: bytes, *, nocache: bool = False) -> None:
    said = []
    for line in engine.client().api.build(
        fileobj=io.BytesIO(context),
        custom_context=True,
        dockerfile=dockerfile,
        tag=name,
        labels={engine.IMAGE_LABEL: name},
        buildargs={"BASE": _BASE},
        nocache=nocache,
        rm=True,
        forcerm=True,
        decode=True,
    ):
        said.append(str(line.get("stream") or line.get("error") or ""))
        if "error" in line:
            pytest.fail(f"the image {name} cannot be built:\n{''.join(said)[-4000:]}")


def _remove_older(repository: str, name: str) -> None:
    """Remove images of earlier trees, a day old: a younger one may be tested by another run."""
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    for image in engine.client().images.list(filters={"label": engine.IMAGE_LABEL}):
        if image.attrs["Created"][:19] > yesterday.isoformat()[:19]:
            continue
        for tag in image.tags:
            if tag.startswith(f"{repository}:e2e-") and tag != name:
                with contextlib.suppress(docker.errors.APIError):  # a container of it is left
                    engine.client().images.remove(tag)
