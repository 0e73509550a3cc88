"""Every rule catches what it is there for: a rendering with one fault in it."""

from collections.abc import Callable
from typing import Any, Final

import pytest

from tests.k8s import crds, exim, pods, references, settings
from tests.k8s.looking import named, of_kind, pod_spec
from tests.k8s.rendering import Object, needs_kustomize, objects
from tests.k8s.test_rendering import Check, invalid

pytestmark = needs_kustomize

Change = Callable[[list[Object]], object]


def pod(rendering: list[Object], name: str = "imap", kind: str = "Deployment") -> dict[str, Any]:
    return pod_spec(named(rendering, kind, name))


def box(rendering: list[Object], name: str = "imap", kind: str = "Deployment") -> dict[str, Any]:
    container: dict[str, Any] = pod(rendering, name, kind)["containers"][0]
    return container


def config(rendering: list[Object], prefix: str) -> dict[str, str]:
    (found,) = [
        c for c in of_kind(rendering, "ConfigMap") if c["metadata"]["name"].startswith(prefix)
    ]
    data: dict[str, str] = found["data"]
    return data


def remove(rendering: list[Object], kind: str, name: str) -> None:
    rendering.remove(named(rendering, kind, name))


def spec(rendering: list[Object], kind: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = named(rendering, kind, name)["spec"]
    return found


FAULTS: Final[dict[str, tuple[Check, Change]]] = {
    "no memory limit": (
        pods.resources,
        lambda r: box(r)["resources"]["limits"].pop("memory"),
    ),
    "a request above the limit": (
        pods.resources,
        lambda r: box(r)["resources"]["requests"].update(memory="64Gi"),
    ),
    "no limits in a StatefulSet": (
        pods.resources,
        lambda r: box(r, "exim", "StatefulSet").pop("resources"),
    ),
    "no startup probe": (pods.probes, lambda r: box(r).pop("startupProbe")),
    "a probe of a port that is not there": (
        pods.probes,
        lambda r: box(r)["livenessProbe"]["httpGet"].update(port="metrics"),
    ),
    "a restart because auth is away": (
        pods.health_paths,
        lambda r: box(r)["livenessProbe"]["httpGet"].update(path="/readyz"),
    ),
    "a root file system to write on": (
        pods.security,
        lambda r: box(r)["securityContext"].update(readOnlyRootFilesystem=False),
    ),
    "root": (pods.security, lambda r: pod(r)["securityContext"].update(runAsUser=0)),
    "root by default": (
        pods.security,
        lambda r: pod(r)["securityContext"].pop("runAsNonRoot"),
    ),
    "a capability": (
        pods.security,
        lambda r: box(r)["securityContext"]["capabilities"].update(add=["NET_BIND_SERVICE"]),
    ),
    "privilege escalation": (
        pods.security,
        lambda r: box(r)["securityContext"].pop("allowPrivilegeEscalation"),
    ),
    "no seccomp": (pods.security, lambda r: pod(r)["securityContext"].pop("seccompProfile")),
    "the node's network": (pods.security, lambda r: pod(r).update(hostNetwork=True)),
    "a token of the API": (pods.security, lambda r: pod(r).pop("automountServiceAccountToken")),
    "an fsGroup on mail": (
        pods.owner_of_mail,
        lambda r: pod(r)["securityContext"].update(fsGroup=5000),
    ),
    "another user on mail": (
        pods.owner_of_mail,
        lambda r: pod(r)["securityContext"].update(runAsUser=1000),
    ),
    "a mount without a volume": (pods.mounts, lambda r: pod(r)["volumes"].pop()),
    "a directory without a bound": (
        pods.mounts,
        lambda r: pod(r)["volumes"][0].update(emptyDir={}),
    ),
    "latest": (pods.images, lambda r: box(r).update(image="restante:latest")),
    "no tag": (pods.images, lambda r: box(r).update(image="example.org:5000/restante")),
    "killed while it drains": (
        pods.grace,
        lambda r: config(r, "restante-imap").update(RESTANTE_DRAIN_SECONDS="2000"),
    ),
    "no preStop": (pods.grace, lambda r: box(r).pop("lifecycle")),
    "exim killed while it stops": (
        pods.grace,
        lambda r: config(r, "restante-exim").update(EXIM_STOP_SECONDS="90"),
    ),
    "a Secret that nobody brings": (
        references.names,
        lambda r: pod(r)["volumes"].append(
            {"name": "more", "secret": {"secretName": "restante-more"}}
        ),
    ),
    "a key that a Secret has not": (
        references.names,
        lambda r: box(r).update(
            env=[
                {
                    "name": "X",
                    "valueFrom": {"secretKeyRef": {"name": "restante-tls", "key": "tls.pem"}},
                }
            ]
        ),
    ),
    "a claim that is not there": (
        references.names,
        lambda r: remove(r, "PersistentVolumeClaim", "mail"),
    ),
    "an account that is not there": (
        references.names,
        lambda r: remove(r, "ServiceAccount", "imap"),
    ),
    "a Secret in git": (
        references.no_secret_values,
        lambda r: r.append(
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}, "data": {}}
        ),
    ),
    "a password in a ConfigMap": (
        references.no_secret_values,
        lambda r: config(r, "restante-common").update(RESTANTE_HINTS="redis://:pw@redis/0"),
    ),
    "a Service without pods": (
        references.services,
        lambda r: spec(r, "Service", "imap")["selector"].update(tier="front"),
    ),
    "a target port that no pod has": (
        references.services,
        lambda r: spec(r, "Service", "imap")["ports"][0].update(targetPort=144),
    ),
    "another port of a headless Service": (
        references.services,
        lambda r: spec(r, "Service", "auth")["ports"][0].update(port=443),
    ),
    "clients' addresses lost": (
        references.services,
        lambda r: spec(r, "Service", "imap-public").update(externalTrafficPolicy="Cluster"),
    ),
    "two workloads under one selector": (
        references.selectors,
        lambda r: spec(r, "Deployment", "imap")["selector"]["matchLabels"].pop(
            "app.kubernetes.io/name"
        ),
    ),
    "a budget that blocks": (
        references.disruption,
        lambda r: spec(r, "PodDisruptionBudget", "imap").update(maxUnavailable=0),
    ),
    "no budget": (
        references.disruption,
        lambda r: remove(r, "PodDisruptionBudget", "imap"),
    ),
    "replicas and an HPA": (
        references.autoscalers,
        lambda r: spec(r, "Deployment", "imap").update(replicas=3),
    ),
    "neither replicas nor an HPA": (
        references.autoscalers,
        lambda r: remove(r, "HorizontalPodAutoscaler", "imap"),
    ),
    "an HPA on what keeps state": (
        references.autoscalers,
        lambda r: spec(r, "HorizontalPodAutoscaler", "imap")["scaleTargetRef"].update(
            kind="StatefulSet", name="exim"
        ),
    ),
    "an HPA on pods that cannot share": (
        references.autoscalers,
        lambda r: spec(r, "PersistentVolumeClaim", "mail").update(accessModes=["ReadWriteOnce"]),
    ),
    "an HPA that goes down at once": (
        references.autoscalers,
        lambda r: spec(r, "HorizontalPodAutoscaler", "imap")["behavior"]["scaleDown"].update(
            stabilizationWindowSeconds=0
        ),
    ),
    "away before there is another": (
        references.rolling,
        lambda r: spec(r, "Deployment", "imap")["strategy"]["rollingUpdate"].update(
            maxUnavailable=1
        ),
    ),
    "a misspelt setting": (
        settings.settings,
        lambda r: config(r, "restante-imap").update(RESTANTE_IMAP_TLS_REQUIERD="true"),
    ),
    "a wrong value": (
        settings.settings,
        lambda r: config(r, "restante-imap").update(RESTANTE_IMAP_TLS_REQUIRED="perhaps"),
    ),
    "a setting of another service": (
        settings.settings,
        lambda r: config(r, "restante-imap").update(RESTANTE_POP3_PROXY="false"),
    ),
    "a listener without a port": (
        settings.settings,
        lambda r: config(r, "restante-imap").update(RESTANTE_IMAP_LISTEN="*:1144"),
    ),
    "a port without a listener": (
        settings.settings,
        lambda r: box(r)["ports"].append({"name": "sieve", "containerPort": 4190}),
    ),
    "a path where nothing is mounted": (
        settings.settings,
        lambda r: config(r, "restante-imap").update(RESTANTE_TLS_KEY="/etc/tls.key"),
    ),
    "a misspelt setting of exim": (
        exim.exim,
        lambda r: config(r, "restante-exim").update(EXIM_VERIFI="callout"),
    ),
    "exim on another port": (
        exim.exim,
        lambda r: config(r, "restante-exim").update(EXIM_SMTP_PORT="25"),
    ),
    "exim delivers to nobody": (
        exim.exim,
        lambda r: config(r, "restante-exim").update(EXIM_DELIVERY="delivery:24"),
    ),
    "auth called at a port that it has not": (
        settings.targets,
        lambda r: config(r, "restante-imap").update(RESTANTE_AUTH_TARGET="auth:50052"),
    ),
    "PROXY headers expected of exim": (
        settings.balancers,
        lambda r: config(r, "restante-common").update(RESTANTE_PROXY_PROTOCOL_FROM="10.42.0.0/16"),
    ),
    "workers by the node's CPUs": (
        settings.processes,
        lambda r: config(r, "restante-imap").pop("RESTANTE_WORKERS"),
    ),
    "a misspelt field of a Certificate": (
        crds.fields,
        lambda r: spec(r, "Certificate", "restante-tls").update(dnsName=["x"]),
    ),
    "a Certificate without a Secret": (
        crds.fields,
        lambda r: spec(r, "Certificate", "restante-tls").pop("secretName"),
    ),
    "an issuer that is not there": (
        crds.issuers,
        lambda r: remove(r, "Issuer", "restante-rpc"),
    ),
    "metrics of a port that is not there": (
        crds.monitors,
        lambda r: spec(r, "PodMonitor", "restante")["podMetricsEndpoints"][0].update(port="http"),
    ),
    "a route to no listener": (
        crds.routes,
        lambda r: spec(r, "HTTPRoute", "webmail")["parentRefs"][0].update(sectionName="tls"),
    ),
    "a soft mount": (
        crds.volumes,
        lambda r: spec(r, "PersistentVolume", "restante-mail")["mountOptions"].append("soft"),
    ),
    "mail that goes with its claim": (
        crds.volumes,
        lambda r: spec(r, "PersistentVolume", "restante-mail").update(
            persistentVolumeReclaimPolicy="Delete"
        ),
    ),
    "a claim of another volume": (
        crds.volumes,
        lambda r: spec(r, "PersistentVolumeClaim", "mail-v1").update(volumeName="restante-mail"),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_it_is_caught(fault: str) -> None:
    check, change = FAULTS[fault]
    rendering = objects("overlays/isp")
    assert check(rendering) == []
    change(rendering)
    assert check(rendering) != []


@pytest.mark.parametrize("version", ["1.29", "1.33"])
def test_the_schema_catches_a_field_that_does_not_exist(version: str) -> None:
    rendering = objects("overlays/isp")
    deployment = named(rendering, "Deployment", "imap")
    assert invalid(deployment, version) == ""
    pod_spec(deployment)["terminationGraceSeconds"] = 60
    assert "terminationGraceSeconds" in invalid(deployment, version)
    scaler = named(rendering, "HorizontalPodAutoscaler", "imap")
    scaler["spec"]["maxReplicas"] = "12"
    assert "maxReplicas" in invalid(scaler, version)
