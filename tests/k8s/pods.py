"""Rules that every pod keeps. Each check returns what it found wrong, one line for each."""

import re
from collections.abc import Sequence
from typing import Any, Final

from tests.k8s.looking import (
    containers,
    environment,
    name_of,
    of_kind,
    pod_spec,
    services_pods,
    workloads,
)
from tests.k8s.rendering import Object

NO_PROBES: Final = ("Job", "CronJob")
_PINNED: Final = re.compile(r"^[a-z0-9./-]+(:\d+/[a-z0-9./-]+)?:(?!latest$)[A-Za-z0-9_][\w.-]+$")


def resources(objects: Sequence[Object]) -> list[str]:
    """Every container asks for CPU and memory, and has a limit of both that is no less."""
    wrong = []
    for workload in workloads(objects):
        for where, container in containers(workload):
            asked = container.get("resources", {})
            for what, value in (("cpu", cpu), ("memory", memory)):
                request = asked.get("requests", {}).get(what)
                limit = asked.get("limits", {}).get(what)
                if request is None or limit is None:
                    wrong.append(f"{where}: no request or no limit of {what}")
                elif value(str(request)) > value(str(limit)):
                    wrong.append(f"{where}: asks for more {what} than its limit")
    return wrong


def probes(objects: Sequence[Object]) -> list[str]:
    """Every container that goes on running has three probes, of ports that it has."""
    wrong = []
    for workload in workloads(objects):
        if workload["kind"] in NO_PROBES:
            continue
        for where, container in containers(workload):
            ports = {port["name"] for port in container.get("ports", ())}
            for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
                probe = container.get(kind)
                if not probe:
                    wrong.append(f"{where}: no {kind}")
                    continue
                for how in ("httpGet", "tcpSocket", "grpc"):
                    port = probe.get(how, {}).get("port")
                    if port is not None and port not in ports:
                        wrong.append(f"{where}: {kind} asks port {port}, which it has not")
    return wrong


def health_paths(objects: Sequence[Object]) -> list[str]:
    """Readiness of our services goes by /readyz; what restarts them by /livez alone."""
    wrong = []
    paths = {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    for workload in services_pods(objects):
        for where, container in containers(workload):
            for kind, path in paths.items():
                get = container.get(kind, {}).get("httpGet", {})
                if (get.get("path"), get.get("port")) != (path, "health"):
                    wrong.append(f"{where}: {kind} does not ask {path} of the port health")
    return wrong


def security(objects: Sequence[Object]) -> list[str]:
    """Pods are what Pod Security calls "restricted", and their root file systems are read-only."""
    wrong = []
    for workload in workloads(objects):
        spec = pod_spec(workload)
        pod = spec.get("securityContext", {})
        wrong += [
            f"{name_of(workload)}: {key}"
            for key in ("hostNetwork", "hostPID", "hostIPC")
            if spec.get(key)
        ]
        if pod.get("seccompProfile", {}).get("type") != "RuntimeDefault":
            wrong.append(f"{name_of(workload)}: seccomp is not RuntimeDefault")
        if spec.get("automountServiceAccountToken") is not False:
            wrong.append(f"{name_of(workload)}: gets a token of the Kubernetes API")
        if any("hostPath" in volume for volume in spec.get("volumes", ())):
            wrong.append(f"{name_of(workload)}: hostPath")
        for where, container in containers(workload):
            wrong += _container(where, pod, container.get("securityContext", {}))
    return wrong


def _container(where: str, pod: dict[str, Any], own: dict[str, Any]) -> list[str]:
    wrong = []
    user = own.get("runAsUser", pod.get("runAsUser"))
    if not own.get("runAsNonRoot", pod.get("runAsNonRoot")) or not user:
        wrong.append(f"{where}: may run as root")
    if own.get("readOnlyRootFilesystem") is not True:
        wrong.append(f"{where}: its root file system can be written to")
    if own.get("allowPrivilegeEscalation") is not False or own.get("privileged"):
        wrong.append(f"{where}: may gain privileges")
    capabilities = own.get("capabilities", {})
    if capabilities.get("drop") != ["ALL"] or capabilities.get("add"):
        wrong.append(f"{where}: keeps capabilities")
    return wrong


def owner_of_mail(objects: Sequence[Object]) -> list[str]:
    """Who mounts a mail volume runs as 5000:5000 and has no fsGroup, which would chown all mail."""
    wrong = []
    for workload in workloads(objects):
        spec = pod_spec(workload)
        claims = {
            v.get("persistentVolumeClaim", {}).get("claimName", "") for v in spec.get("volumes", ())
        }
        if not any(claim == "mail" or claim.startswith("mail-") for claim in claims):
            continue
        context = spec.get("securityContext", {})
        if (context.get("runAsUser"), context.get("runAsGroup")) != (5000, 5000):
            wrong.append(f"{name_of(workload)}: mounts mail, and is not 5000:5000")
        if "fsGroup" in context:
            wrong.append(f"{name_of(workload)}: mounts mail with an fsGroup")
    return wrong


def mounts(objects: Sequence[Object]) -> list[str]:
    """Mounts name volumes of their pod, and volumes are mounted; /tmp can be written to."""
    wrong = []
    for workload in workloads(objects):
        spec = pod_spec(workload)
        there = {volume["name"] for volume in spec.get("volumes", ())}
        there |= {
            claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", ())
        }
        used = set()
        for where, container in containers(workload):
            paths = [mount["mountPath"] for mount in container.get("volumeMounts", ())]
            names = {mount["name"] for mount in container.get("volumeMounts", ())}
            used |= names
            wrong += [f"{where}: mounts {n}, which is no volume" for n in sorted(names - there)]
            if len(set(paths)) < len(paths):
                wrong.append(f"{where}: two mounts at one place")
            if workload["kind"] not in NO_PROBES and "/tmp" not in paths:
                wrong.append(f"{where}: nothing at /tmp")
        wrong += [f"{name_of(workload)}: {n} is mounted nowhere" for n in sorted(there - used)]
        for volume in spec.get("volumes", ()):
            if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
                wrong.append(f"{name_of(workload)}: {volume['name']} may fill the node")
    return wrong


def images(objects: Sequence[Object]) -> list[str]:
    """Every image has a tag that means one version."""
    return [
        f"{where}: image {container.get('image')} is not pinned"
        for workload in workloads(objects)
        for where, container in containers(workload)
        if not _PINNED.match(container.get("image", ""))
    ]


def grace(objects: Sequence[Object]) -> list[str]:
    """A pod has time for preStop and then for its drain, and some seconds to end."""
    wrong = []
    for workload in of_kind(objects, "Deployment", "StatefulSet"):
        time = pod_spec(workload).get("terminationGracePeriodSeconds", 30)
        for where, container in containers(workload):
            env = environment(objects, container)
            drain = float(env.get("RESTANTE_DRAIN_SECONDS", env.get("EXIM_STOP_SECONDS", 0)))
            ours = container["image"].split(":")[0].rpartition("/")[2] == "restante"
            if ours and "RESTANTE_DRAIN_SECONDS" not in env:
                wrong.append(f"{where}: RESTANTE_DRAIN_SECONDS is not said")
            command = container.get("lifecycle", {}).get("preStop", {}).get("exec", {})
            words = command.get("command", ["sleep", "0"])
            if ours and (words[0] != "sleep" or not 5 <= int(words[1]) <= 60):
                wrong.append(f"{where}: preStop does not wait until balancers have noticed")
            if time < int(words[1]) + drain + 10:
                wrong.append(f"{where}: killed after {time} s, before preStop and drain are over")
    return wrong


def cpu(text: str) -> float:
    """Return CPUs of a quantity such as 500m."""
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)


def memory(text: str) -> float:
    """Return bytes of a quantity such as 512Mi."""
    for unit, factor in (("Ki", 2**10), ("Mi", 2**20), ("Gi", 2**30), ("Ti", 2**40)):
        if text.endswith(unit):
            return float(text[:-2]) * factor
    return float(text)


CHECKS: Final = (
    resources,
    probes,
    health_paths,
    security,
    owner_of_mail,
    mounts,
    images,
    grace,
)
