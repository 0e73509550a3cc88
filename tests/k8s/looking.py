"""Small questions to a list of objects."""

from collections.abc import Iterator, Sequence
from typing import Any, Final, cast

from tests.k8s.rendering import Object

WORKLOADS: Final = ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob")


def name_of(one: Object) -> str:
    """Return Kind/name, for findings."""
    return f"{one['kind']}/{one['metadata']['name']}"


def of_kind(objects: Sequence[Object], *kinds: str) -> list[Object]:
    """Return the objects of these kinds."""
    return [one for one in objects if one["kind"] in kinds]


def named(objects: Sequence[Object], kind: str, name: str) -> Object:
    """Return the one object of this kind and name."""
    (found,) = [one for one in of_kind(objects, kind) if one["metadata"]["name"] == name]
    return found


def workloads(objects: Sequence[Object]) -> list[Object]:
    """Return what makes pods."""
    return of_kind(objects, *WORKLOADS)


def services_pods(objects: Sequence[Object], *names: str) -> list[Object]:
    """Return those of Restante's own Deployments that are there, or those named."""
    wanted = names or ("auth", "delivery", "pop3", "imap", "webmail")
    return [d for d in of_kind(objects, "Deployment") if d["metadata"]["name"] in wanted]


def pod_template(workload: Object) -> Object:
    """Return the template of a workload's pods."""
    spec = workload["spec"]
    if workload["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    return cast("Object", spec["template"])


def pod_spec(workload: Object) -> dict[str, Any]:
    """Return the spec of its pods."""
    return cast("dict[str, Any]", pod_template(workload)["spec"])


def pod_labels(workload: Object) -> dict[str, str]:
    """Return the labels of its pods."""
    return cast("dict[str, str]", pod_template(workload)["metadata"].get("labels", {}))


def containers(workload: Object) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (where, container) of a workload, first containers included."""
    spec = pod_spec(workload)
    for container in (*spec.get("initContainers", ()), *spec["containers"]):
        yield f"{name_of(workload)} {container['name']}", container


def ports(container: dict[str, Any]) -> dict[str, int]:
    """Return the named ports of a container."""
    return {port["name"]: port["containerPort"] for port in container.get("ports", ())}


def matches(selector: dict[str, Any] | None, labels: dict[str, str]) -> bool:
    """Evaluate a LabelSelector; an empty one matches everything, None nothing."""
    if selector is None:
        return False
    for key, value in selector.get("matchLabels", {}).items():
        if labels.get(key) != value:
            return False
    for term in selector.get("matchExpressions", ()):
        value, wanted = labels.get(term["key"]), term.get("values", [])
        fits = {
            "In": value in wanted,
            "NotIn": value not in wanted,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }[term["operator"]]
        if not fits:
            return False
    return True


def environment(objects: Sequence[Object], container: dict[str, Any]) -> dict[str, str]:
    """Return what envFrom and env put into a container; later entries win."""
    found: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        found |= named(objects, "ConfigMap", source["configMapRef"]["name"])["data"]
    for entry in container.get("env", ()):
        if "value" in entry:
            found[entry["name"]] = entry["value"]
    return found
