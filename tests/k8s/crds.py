"""The kinds that Kubernetes itself has no schema of: the fields that we use, and their values.

A pattern of a field is a type, a literal set, a mapping of fields, or a list of one pattern. A
field that is not named here is an error: a misspelt one would silently do nothing in a cluster.
"""

from collections.abc import Sequence
from typing import Any, Final

from tests.k8s.looking import containers as containers_of
from tests.k8s.looking import matches, name_of, of_kind, pod_labels, ports, workloads
from tests.k8s.rendering import Object

Pattern = Any

_KEY: Final = {"algorithm": {"ECDSA", "RSA"}, "size": int, "rotationPolicy": {"Always", "Never"}}
_ISSUER: Final = {"group": {"cert-manager.io"}, "kind": {"Issuer", "ClusterIssuer"}, "name": str}
_REFERENCE: Final = {"name": str, "key": str}
_USAGES: Final = {"server auth", "client auth", "digital signature", "cert sign", "crl sign"}
_PARENT: Final = {"name": str, "sectionName": str}
_AMOUNT: Final = {"cpu": str, "memory": str}
_ROUTES: Final = {
    "namespaces": {"from": {"Same"}},
    "kinds?": [{"kind": {"TCPRoute"}}],
}

PATTERNS: Final[dict[tuple[str, str], Pattern]] = {
    ("cert-manager.io/v1", "Issuer"): {"selfSigned?": {}, "ca?": {"secretName": str}},
    ("cert-manager.io/v1", "Certificate"): {
        "secretName": str,
        "dnsNames?": [str],
        "commonName?": str,
        "isCA?": bool,
        "duration": str,
        "renewBefore": str,
        "privateKey": _KEY,
        "usages": [_USAGES],
        "issuerRef": _ISSUER,
    },
    ("postgresql.cnpg.io/v1", "Cluster"): {
        "instances": int,
        "imageName": str,
        "primaryUpdateStrategy": {"unsupervised"},
        "primaryUpdateMethod": {"switchover", "restart"},
        "bootstrap": {"initdb": {"database": str, "owner": str, "encoding": str}},
        "postgresql": {
            "synchronous": {
                "method": {"any", "first"},
                "number": int,
                "dataDurability": {"preferred", "required"},
            },
            "parameters": dict,
        },
        "storage": {"size": str},
        "walStorage": {"size": str},
        "resources": {"requests": _AMOUNT, "limits": _AMOUNT},
        "affinity": {
            "enablePodAntiAffinity": bool,
            "podAntiAffinityType": {"preferred", "required"},
            "topologyKey": str,
        },
        "enablePDB": bool,
        "plugins": [{"name": str, "isWALArchiver": bool, "parameters": {"barmanObjectName": str}}],
    },
    ("postgresql.cnpg.io/v1", "ScheduledBackup"): {
        "schedule": str,
        "backupOwnerReference": {"none", "self", "cluster"},
        "cluster": {"name": str},
        "method": {"plugin"},
        "pluginConfiguration": {"name": str},
    },
    ("barmancloud.cnpg.io/v1", "ObjectStore"): {
        "retentionPolicy": str,
        "configuration": {
            "destinationPath": str,
            "endpointURL": str,
            "s3Credentials": {"accessKeyId": _REFERENCE, "secretAccessKey": _REFERENCE},
            "wal": {"compression": {"gzip", "bzip2", "snappy"}},
            "data": {"compression": {"gzip", "bzip2", "snappy"}},
        },
    },
    ("monitoring.coreos.com/v1", "PodMonitor"): {
        "selector": {"matchExpressions?": list, "matchLabels?": dict},
        "podMetricsEndpoints": [
            {
                "port": str,
                "path": str,
                "interval": str,
                "scrapeTimeout": str,
                "relabelings": [{"sourceLabels": [str], "targetLabel": str}],
            }
        ],
    },
    ("monitoring.coreos.com/v1", "PrometheusRule"): {
        "groups": [
            {
                "name": str,
                "interval?": str,
                "rules": [
                    {
                        "alert?": str,
                        "record?": str,
                        "expr": str,
                        "for?": str,
                        "keep_firing_for?": str,
                        "labels?": dict,
                        "annotations?": dict,
                    }
                ],
            }
        ]
    },
    ("gateway.networking.k8s.io/v1", "Gateway"): {
        "gatewayClassName": str,
        "listeners": [
            {
                "name": str,
                "protocol": {"HTTP", "HTTPS", "TCP"},
                "port": int,
                "hostname?": str,
                "allowedRoutes": _ROUTES,
                "tls?": {
                    "mode": {"Terminate"},
                    "certificateRefs": [{"kind": {"Secret"}, "name": str}],
                },
            }
        ],
    },
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): {
        "parentRefs": [_PARENT],
        "hostnames": [str],
        "rules": [
            {
                "backendRefs?": [{"name": str, "port": int}],
                "filters?": [
                    {
                        "type": {"RequestRedirect"},
                        "requestRedirect": {"scheme": {"https"}, "statusCode": {301, 302}},
                    }
                ],
            }
        ],
    },
    ("gateway.networking.k8s.io/v1alpha2", "TCPRoute"): {
        "parentRefs": [_PARENT],
        "rules": [{"backendRefs": [{"name": str, "port": int}]}],
    },
}


def fields(objects: Sequence[Object]) -> list[str]:
    """Every object of such a kind has the fields it needs, and no others."""
    wrong = []
    for one in objects:
        pattern = PATTERNS.get((one["apiVersion"], one["kind"]))
        if pattern is not None:
            wrong += [f"{name_of(one)}: {line}" for line in _compare(one["spec"], pattern, "spec")]
    return wrong


def _compare(value: Any, pattern: Pattern, path: str) -> list[str]:
    if isinstance(pattern, type):
        return [] if isinstance(value, pattern) else [f"{path} is no {pattern.__name__}"]
    if isinstance(pattern, set):
        return [] if value in pattern else [f"{path} is {value!r}"]
    if isinstance(pattern, list):
        if not isinstance(value, list):
            return [f"{path} is no list"]
        return [
            line
            for n, item in enumerate(value)
            for line in _compare(item, pattern[0], f"{path}[{n}]")
        ]
    if not isinstance(value, dict):
        return [f"{path} is no mapping"]
    known = {key.removesuffix("?"): key for key in pattern}
    wrong = [f"{path}.{key} is no field that is known here" for key in value if key not in known]
    for key, spelt in known.items():
        if key in value:
            wrong += _compare(value[key], pattern[spelt], f"{path}.{key}")
        elif not spelt.endswith("?"):
            wrong.append(f"{path}.{key} is missing")
    return wrong


def issuers(objects: Sequence[Object]) -> list[str]:
    """Certificates are signed by issuers that are there; an issuer's own CA is one of them."""
    there = {one["metadata"]["name"] for one in of_kind(objects, "Issuer")}
    made = {one["spec"]["secretName"] for one in of_kind(objects, "Certificate")}
    wrong = [
        f"{name_of(one)}: no Issuer {one['spec']['issuerRef']['name']}"
        for one in of_kind(objects, "Certificate")
        if one["spec"]["issuerRef"]["kind"] == "Issuer"
        and one["spec"]["issuerRef"]["name"] not in there
    ]
    wrong += [
        f"{name_of(one)}: nothing makes {one['spec']['ca']['secretName']}"
        for one in of_kind(objects, "Issuer")
        if "ca" in one["spec"] and one["spec"]["ca"]["secretName"] not in made
    ]
    return wrong


def monitors(objects: Sequence[Object]) -> list[str]:
    """A PodMonitor selects pods that have the port it reads."""
    wrong = []
    for monitor in of_kind(objects, "PodMonitor"):
        chosen = [
            w for w in workloads(objects) if matches(monitor["spec"]["selector"], pod_labels(w))
        ]
        if len(chosen) < 5:
            wrong.append(f"{name_of(monitor)}: does not see all five services")
        for workload in chosen:
            there = {p for _, container in containers_of(workload) for p in ports(container)}
            for endpoint in monitor["spec"]["podMetricsEndpoints"]:
                if endpoint["port"] not in there:
                    wrong.append(f"{name_of(monitor)}: no port {endpoint['port']}")
    return wrong


def routes(objects: Sequence[Object]) -> list[str]:
    """Routes and the Ingress lead from listeners that are there to ports of Services."""
    listeners = {
        (gateway["metadata"]["name"], listener["name"])
        for gateway in of_kind(objects, "Gateway")
        for listener in gateway["spec"]["listeners"]
    }
    doors = {
        (service["metadata"]["name"], port["port"])
        for service in of_kind(objects, "Service")
        for port in service["spec"]["ports"]
    }
    named_doors = {
        (service["metadata"]["name"], port["name"])
        for service in of_kind(objects, "Service")
        for port in service["spec"]["ports"]
    }
    wrong = []
    for route in of_kind(objects, "HTTPRoute", "TCPRoute"):
        for parent in route["spec"]["parentRefs"]:
            if (parent["name"], parent["sectionName"]) not in listeners:
                wrong.append(f"{name_of(route)}: no listener {parent['sectionName']}")
        for rule in route["spec"]["rules"]:
            for backend in rule.get("backendRefs", ()):
                if (backend["name"], backend["port"]) not in doors:
                    wrong.append(f"{name_of(route)}: no Service {backend}")
    for ingress in of_kind(objects, "Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                if (backend["name"], backend["port"]["name"]) not in named_doors:
                    wrong.append(f"{name_of(ingress)}: no Service {backend}")
    return wrong


def volumes(objects: Sequence[Object]) -> list[str]:
    """NFS is mounted as the store needs it, volumes and claims name each other, and mail stays."""
    wrong = []
    claims = {c["metadata"]["name"]: c["spec"] for c in of_kind(objects, "PersistentVolumeClaim")}
    for volume in of_kind(objects, "PersistentVolume"):
        where, spec = name_of(volume), volume["spec"]
        options = set(spec["mountOptions"])
        missing = {"nfsvers=4.2", "hard", "sync"} - options
        if missing or options & {"soft", "nolock", "async"}:
            wrong.append(f"{where}: mounted with {', '.join(sorted(options))}")
        if spec["persistentVolumeReclaimPolicy"] != "Retain":
            wrong.append(f"{where}: goes away with its claim")
        attributes = spec["csi"]["volumeAttributes"]
        handle = f"{attributes['server']}#{attributes['share'].strip('/')}##"
        if spec["csi"]["driver"] != "nfs.csi.k8s.io" or attributes["mountPermissions"] != "0":
            wrong.append(f"{where}: the driver may change modes")
        if not spec["csi"]["volumeHandle"].startswith(handle):
            wrong.append(f"{where}: its handle names another export")
        claim = claims.get(spec["claimRef"]["name"])
        if claim is None or claim.get("volumeName") != volume["metadata"]["name"]:
            wrong.append(f"{where}: no claim for it")
        elif claim["storageClassName"] != spec["storageClassName"]:
            wrong.append(f"{where}: its claim wants another class")
        elif claim["resources"]["requests"]["storage"] != spec["capacity"]["storage"]:
            wrong.append(f"{where}: its claim has another size")
    return wrong


CHECKS: Final = (fields, issuers, monitors, routes, volumes)
