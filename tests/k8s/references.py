"""Rules about what objects say of each other."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from tests.k8s.looking import (
    containers,
    matches,
    name_of,
    of_kind,
    pod_labels,
    pod_spec,
    ports,
    workloads,
)
from tests.k8s.rendering import Object

BROUGHT: Final = {
    "Secret": {
        "restante-secrets": {
            "auth.secret",
            "admin.token",
            "delivery.token",
            "postgres.password",
            "sql.url",
            "redis.url",
            "redis.conf",
        },
        "restante-tls": {"tls.crt", "tls.key"},
        "restante-rpc": {"ca.crt", "auth.crt", "auth.key", "client.crt", "client.key"},
    },
}
"""What the operator makes by the commands in docs/scale.md, with its keys."""

MADE: Final = {
    # By cert-manager, from a Certificate with this secretName.
    "Certificate": {"tls.crt", "tls.key", "ca.crt"},
    # By CloudNativePG, for a Cluster: NAME-app.
    "Cluster": {"uri", "username", "password", "host", "port", "dbname"},
}


def _secrets(objects: Sequence[Object]) -> dict[str, set[str]]:
    found = dict(BROUGHT["Secret"])
    for one in of_kind(objects, "Secret"):
        found[one["metadata"]["name"]] = {*one.get("data", {}), *one.get("stringData", {})}
    for one in of_kind(objects, "Certificate"):
        found.setdefault(one["spec"]["secretName"], MADE["Certificate"])
    for one in of_kind(objects, "Cluster"):
        found[one["metadata"]["name"] + "-app"] = MADE["Cluster"]
    return found


def _used(
    workload: Object,
) -> Iterator[tuple[str, str, set[str]]]:
    """Yield (kind, name, keys) of every Secret and ConfigMap that the pods of a workload need."""
    for volume in pod_spec(workload).get("volumes", ()):
        for source in (volume, *volume.get("projected", {}).get("sources", ())):
            if "secret" in source:
                secret = source["secret"]
                yield (
                    "Secret",
                    secret.get("secretName") or secret["name"],
                    {item["key"] for item in secret.get("items", ())},
                )
            if "configMap" in source:
                keys = {item["key"] for item in source["configMap"].get("items", ())}
                yield "ConfigMap", source["configMap"]["name"], keys
    for _, container in containers(workload):
        for source in container.get("envFrom", ()):
            for kind, field in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
                if field in source:
                    yield kind, source[field]["name"], set()
        for entry in container.get("env", ()):
            for kind, field in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
                if field in entry.get("valueFrom", {}):
                    one = entry["valueFrom"][field]
                    yield kind, one["name"], {one["key"]}


def names(objects: Sequence[Object]) -> list[str]:
    """Secrets, ConfigMaps, claims and accounts that pods name exist, with the keys they name."""
    secrets = _secrets(objects)
    configs = {c["metadata"]["name"]: set(c["data"]) for c in of_kind(objects, "ConfigMap")}
    accounts = {a["metadata"]["name"] for a in of_kind(objects, "ServiceAccount")}
    claims = {c["metadata"]["name"] for c in of_kind(objects, "PersistentVolumeClaim")}
    wrong = []
    for workload in workloads(objects):
        where, spec = name_of(workload), pod_spec(workload)
        for kind, name, keys in _used(workload):
            there = (secrets if kind == "Secret" else configs).get(name)
            if there is None:
                wrong.append(f"{where}: {kind} {name} does not exist")
            elif keys - there:
                wrong.append(f"{where}: {kind} {name} has no {', '.join(sorted(keys - there))}")
        if workload["kind"] in ("Job", "CronJob"):
            continue  # on what an overlay made; the tests of jobs look there
        if spec.get("serviceAccountName") not in accounts:
            wrong.append(f"{where}: no ServiceAccount {spec.get('serviceAccountName')}")
        for volume in spec.get("volumes", ()):
            claim = volume.get("persistentVolumeClaim", {}).get("claimName")
            if claim and claim not in claims:
                wrong.append(f"{where}: no PersistentVolumeClaim {claim}")
    return wrong


def no_secret_values(objects: Sequence[Object]) -> list[str]:
    """Nothing secret is in what lies in git: Secrets are named only."""
    wrong = [f"{name_of(one)} has its values in git" for one in of_kind(objects, "Secret")]
    for one in of_kind(objects, "ConfigMap"):
        for key, value in one["data"].items():
            if "PRIVATE KEY" in value or ("://" in value and "@" in value.partition("://")[2]):
                wrong.append(f"{name_of(one)}: {key} looks like a secret")
    return wrong


def services(objects: Sequence[Object]) -> list[str]:
    """Every Service selects pods, and its target ports are ports of those pods."""
    wrong = []
    for service in of_kind(objects, "Service"):
        selector = {"matchLabels": service["spec"]["selector"]}
        chosen = [w for w in workloads(objects) if matches(selector, pod_labels(w))]
        if not chosen:
            wrong.append(f"{name_of(service)}: selects no pods")
        for workload in chosen:
            there: dict[str, int] = {}
            for _, container in containers(workload):
                there |= ports(container)
            for port in service["spec"]["ports"]:
                target = port.get("targetPort", port["port"])
                if target not in there and target not in there.values():
                    wrong.append(f"{name_of(service)}: {name_of(workload)} has no port {target}")
                elif (
                    service["spec"].get("clusterIP") == "None"
                    and there.get(target, target) != port["port"]
                ):
                    wrong.append(f"{name_of(service)}: nobody turns {port['port']} into {target}")
        if service["spec"].get("type") == "LoadBalancer":
            if service["spec"].get("externalTrafficPolicy") != "Local":
                wrong.append(f"{name_of(service)}: clients' addresses are lost")
            if service["spec"].get("sessionAffinity", "None") != "None":
                wrong.append(f"{name_of(service)}: ties clients to pods")
    return wrong


def selectors(objects: Sequence[Object]) -> list[str]:
    """A workload's selector and spreading mean its own pods, and no other workload's."""
    wrong = []
    for workload in of_kind(objects, "Deployment", "StatefulSet"):
        selector = workload["spec"]["selector"]
        if not matches(selector, pod_labels(workload)):
            wrong.append(f"{name_of(workload)}: its selector does not match its pods")
        wrong += [
            f"{name_of(workload)}: its selector matches pods of {name_of(other)}"
            for other in of_kind(objects, "Deployment", "StatefulSet")
            if other is not workload and matches(selector, pod_labels(other))
        ]
        spread: list[dict[str, Any]] = [
            *pod_spec(workload).get("topologySpreadConstraints", ()),
        ]
        wrong += [
            f"{name_of(workload)}: spreads other pods than its own"
            for one in spread
            if not matches(one["labelSelector"], pod_labels(workload))
        ]
    return wrong


def disruption(objects: Sequence[Object]) -> list[str]:
    """Budgets mean pods that are there, and always let one of them go."""
    wrong = []
    budgets = of_kind(objects, "PodDisruptionBudget")
    for budget in budgets:
        spec = budget["spec"]
        if "minAvailable" in spec or spec.get("maxUnavailable") in (0, "0", "0%", None):
            wrong.append(f"{name_of(budget)}: may block a drain for ever")
        if not any(matches(spec["selector"], pod_labels(w)) for w in workloads(objects)):
            wrong.append(f"{name_of(budget)}: selects no pods")
    for workload in of_kind(objects, "Deployment"):
        if not any(matches(b["spec"]["selector"], pod_labels(workload)) for b in budgets):
            wrong.append(f"{name_of(workload)}: no PodDisruptionBudget")
    return wrong


def autoscalers(objects: Sequence[Object]) -> list[str]:
    """HPAs rule Deployments without state, alone, and go down slowly."""
    wrong = []
    ruled = set()
    for scaler in of_kind(objects, "HorizontalPodAutoscaler"):
        where, spec = name_of(scaler), scaler["spec"]
        target = spec["scaleTargetRef"]
        ruled.add(target["name"])
        found = [
            d for d in of_kind(objects, "Deployment") if d["metadata"]["name"] == target["name"]
        ]
        if target["kind"] != "Deployment" or not found:
            wrong.append(f"{where}: there is no Deployment {target['name']}")
            continue
        if "replicas" in found[0]["spec"]:
            wrong.append(f"{where}: {target['name']} has replicas, too: each apply would reset it")
        claims = {
            v["persistentVolumeClaim"]["claimName"]
            for v in pod_spec(found[0]).get("volumes", ())
            if "persistentVolumeClaim" in v
        }
        private = [
            c["metadata"]["name"]
            for c in of_kind(objects, "PersistentVolumeClaim")
            if c["metadata"]["name"] in claims and "ReadWriteMany" not in c["spec"]["accessModes"]
        ]
        if private:
            wrong.append(f"{where}: pods of {target['name']} cannot share {', '.join(private)}")
        if not 2 <= spec["minReplicas"] < spec["maxReplicas"]:
            wrong.append(f"{where}: fewer than two pods, or no room to grow")
        if spec["behavior"]["scaleDown"]["stabilizationWindowSeconds"] < 300:
            wrong.append(f"{where}: goes down too fast")
        if not any(m["type"] == "Resource" for m in spec["metrics"]):
            wrong.append(f"{where}: does not go by CPU")
    for workload in of_kind(objects, "Deployment"):
        if workload["metadata"]["name"] not in ruled and "replicas" not in workload["spec"]:
            wrong.append(f"{name_of(workload)}: neither replicas nor an HPA")
    return wrong


def rolling(objects: Sequence[Object]) -> list[str]:
    """A new version starts before an old one goes."""
    wrong = []
    for workload in of_kind(objects, "Deployment"):
        update = workload["spec"].get("strategy", {}).get("rollingUpdate", {})
        if update.get("maxUnavailable") != 0 or not update.get("maxSurge"):
            wrong.append(f"{name_of(workload)}: a pod is taken away before there is another")
    return wrong


CHECKS: Final = (
    names,
    no_secret_values,
    services,
    selectors,
    disruption,
    autoscalers,
    rolling,
)
