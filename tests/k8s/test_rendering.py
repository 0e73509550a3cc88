"""Everything renders, core objects fit the schemas of Kubernetes, and our own rules are kept."""

import json
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final

import kubernetes_validate
import kubernetes_validate.utils
import pytest

from tests.k8s import crds, exim, pods, references, settings
from tests.k8s.looking import name_of, of_kind
from tests.k8s.rendering import ALL, COMPONENTS, JOBS, OVERLAYS, Object, needs_kustomize, objects

pytestmark = needs_kustomize

VERSIONS: Final = ("1.29", "1.30", "1.31", "1.32", "1.33")

Check = Callable[[Sequence[Object]], list[str]]
CHECKS: Final[tuple[Check, ...]] = (
    *pods.CHECKS,
    *references.CHECKS,
    *settings.CHECKS,
    *crds.CHECKS,
    *exim.CHECKS,
)


@pytest.fixture(autouse=True, scope="module")
def _schemas_are_read_once() -> Any:
    """The package reads several MiB of JSON for each object."""
    plain = kubernetes_validate.utils.schema_contents
    kubernetes_validate.utils.schema_contents = cache(plain)
    yield
    kubernetes_validate.utils.schema_contents = plain


def core(one: Object) -> bool:
    """Say whether Kubernetes itself has this kind."""
    group = one["apiVersion"].rpartition("/")[0]
    return "." not in group or (group.endswith(".k8s.io") and group != "gateway.networking.k8s.io")


def invalid(one: Object, version: str) -> str:
    """Return what the schema of this version says against an object; "" is nothing."""
    try:
        kubernetes_validate.validate(one, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{name_of(one)}: {'.'.join(map(str, error.path))}: {error.message}"
    return ""


def test_what_there_is() -> None:
    assert OVERLAYS == ("isp", "small")
    assert {"tls", "nfs-csi", "redis-ha", "cnpg-postgres", "prometheus-operator"} < set(COMPONENTS)
    assert {"gateway", "ingress", "exim", "mail-volumes"} < set(COMPONENTS)
    assert JOBS == ("volume-init", "volumes-init")


@pytest.mark.parametrize("name", ALL)
def test_it_fits_kubernetes(name: str) -> None:
    """Every core object is valid in every version, every other kind is one that we know."""
    rendering = objects(name)
    seen = set()
    for one in rendering:
        assert (one["apiVersion"], one["kind"], one["metadata"]["name"]) not in seen
        seen.add((one["apiVersion"], one["kind"], one["metadata"]["name"]))
        if not core(one):
            assert (one["apiVersion"], one["kind"]) in crds.PATTERNS
            continue
        for version in VERSIONS:
            assert _valid_before(json.dumps(one, sort_keys=True), version) == ""


@cache
def _valid_before(text: str, version: str) -> str:
    """Objects are the same in many renderings."""
    return invalid(json.loads(text), version)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", ALL)
def test_rule(name: str, check: Check) -> None:
    assert check(objects(name)) == []


@pytest.mark.parametrize("name", [f"overlays/{name}" for name in OVERLAYS])
def test_an_overlay_lies_in_its_namespace(name: str) -> None:
    outside = ("Namespace", "PersistentVolume", "StorageClass")
    for one in objects(name):
        wanted = None if one["kind"] in outside else "restante"
        assert one["metadata"].get("namespace") == wanted, name_of(one)
    assert len(of_kind(objects(name), "Deployment")) >= 5


@pytest.mark.parametrize(("job", "overlay"), [("volume-init", "small"), ("volumes-init", "isp")])
def test_jobs_prepare_the_volumes_of_an_overlay(job: str, overlay: str) -> None:
    """A job marks what the services mount, and is not started with them."""
    (work,) = objects(f"jobs/{job}")
    claims = {
        volume["persistentVolumeClaim"]["claimName"]
        for volume in work["spec"]["template"]["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    }
    there = {
        claim["metadata"]["name"]
        for claim in of_kind(objects(f"overlays/{overlay}"), "PersistentVolumeClaim")
    }
    assert claims == there
    assert work["metadata"]["namespace"] == "restante"
    for name in ALL:
        if not name.startswith("jobs/"):
            assert of_kind(objects(name), "Job", "CronJob") == []
