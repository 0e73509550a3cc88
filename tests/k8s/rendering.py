"""What `kubectl kustomize` makes of deploy/k8s: overlays, and the base with each component."""

import json
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

import pytest
import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
K8S: Final = ROOT / "deploy" / "k8s"

_Loader: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same, in C

Object = dict[str, Any]
"""One object of Kubernetes, as YAML has it."""

OVERLAYS: Final = tuple(sorted(p.name for p in (K8S / "overlays").iterdir() if p.is_dir()))
COMPONENTS: Final = tuple(sorted(p.name for p in (K8S / "components").iterdir() if p.is_dir()))
JOBS: Final = tuple(sorted(p.name for p in (K8S / "jobs").iterdir() if p.is_dir()))

NEEDS: Final = {"mail-volumes": ("nfs-csi",), "gateway-tcp": ("gateway",)}
"""Components that only make sense behind others."""

ALL: Final = (
    "base",
    *(f"overlays/{name}" for name in OVERLAYS),
    *(f"jobs/{name}" for name in JOBS),
    *(f"components/{name}" for name in COMPONENTS),
)
"""Everything that is rendered; a component stands for the base with what it needs."""


def tool() -> tuple[str, ...] | None:
    """Return the command that renders a directory, None where this machine has none."""
    if shutil.which("kubectl"):
        return ("kubectl", "kustomize")
    if shutil.which("kustomize"):
        return ("kustomize", "build")
    return None


needs_kustomize = pytest.mark.skipif(
    tool() is None, reason="neither kubectl nor kustomize is installed"
)


@cache
def text(name: str) -> str:
    """Render one of ALL. AssertionError with the tool's words where it cannot."""
    if not name.startswith("components/"):
        return _build(K8S / name)
    component = name.removeprefix("components/")
    with tempfile.TemporaryDirectory(prefix="restante-k8s-") as folder:
        here = Path(folder).resolve()
        wanted = [*NEEDS.get(component, ()), component]
        path = {one: os.path.relpath(K8S / "components" / one, here) for one in wanted}
        (here / "kustomization.yaml").write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "kustomize.config.k8s.io/v1beta1",
                    "kind": "Kustomization",
                    "namespace": "restante",
                    "resources": [os.path.relpath(K8S / "base", here)],
                    "components": list(path.values()),
                }
            )
        )
        return _build(here)


def _build(directory: Path) -> str:
    command = tool()
    assert command is not None
    done = subprocess.run(
        [*command, str(directory)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"{directory}: {done.stderr.strip()}"
    assert not done.stderr.strip(), f"{directory}: {done.stderr.strip()}"
    return done.stdout


def objects(name: str) -> list[Object]:
    """Return the objects of a rendering, each time new ones, so that a test may change them."""
    return cast("list[Object]", json.loads(_parsed(name)))


@cache
def _parsed(name: str) -> str:
    return json.dumps(list(yaml.load_all(text(name), Loader=_Loader)))
