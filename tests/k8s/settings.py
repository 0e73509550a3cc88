"""The settings that our pods get, read by the settings classes of the services themselves."""

import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from restante.runtime.settings import ServiceSettings, load, variables
from services.__main__ import SERVICES
from tests.arch.settings_doc import settings_classes
from tests.k8s.looking import containers, environment, ports, services_pods
from tests.k8s.pods import cpu
from tests.k8s.rendering import ROOT, Object

_SAMPLES: Final = {
    "/run/secrets/sql.url": "postgresql://restante:secret@postgres:5432/restante",
    "/run/secrets/redis.url": "redis://:secret@redis:6379/0",
    "/run/secrets/auth.secret": "x" * 43,
    "/run/secrets/admin.token": "x" * 43,
    "/run/secrets/delivery.token": "x" * 43,
}
"""What stands in the files that settings are read from."""


def image_environment() -> dict[str, str]:
    """Return the ENV of deploy/docker/Dockerfile's last stage."""
    text = (ROOT / "deploy" / "docker" / "Dockerfile").read_text()
    last = text[text.rindex("\nFROM ") :].replace("\\\n", " ")
    found: dict[str, str] = {}
    for line in re.findall(r"(?m)^ENV (.*)$", last):
        found |= dict(re.findall(r"(\S+?)=(\S+)", line))
    return found


def settings(objects: Sequence[Object]) -> list[str]:
    """Every RESTANTE_* variable is a setting of that service with a value that it takes.

    The port of every listener is a port of the container, and there are no others.
    """
    wrong = []
    for workload in services_pods(objects):
        for where, container in containers(workload):
            (service,) = container["args"]
            if service not in SERVICES:
                wrong.append(f"{where}: {service} is no service")
                continue
            given = environment(objects, container)
            cls = settings_classes()[service]
            known = {name for field in cls.model_fields for name in variables(cls, field)}
            wrong += [
                f"{where}: {name} is no setting of {service}"
                for name in given
                if name.removesuffix("_FILE") not in known
            ]
            try:
                found = loaded(cls, image_environment() | given)
            except (SystemExit, AssertionError, OSError) as error:
                wrong.append(f"{where}: wrong settings: {error}")
                continue
            wrong += [f"{where}: {line}" for line in _ports(found, container)]
            wrong += [f"{where}: {line}" for line in _files(given, container)]
    return wrong


def loaded(cls: type[ServiceSettings], environ: dict[str, str]) -> ServiceSettings:
    """Load the settings with nothing but this environment; AssertionError for a file it lacks."""
    kept = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="restante-k8s-") as folder:
        here = {}
        for number, (name, value) in enumerate(environ.items()):
            if name.endswith("_FILE") and name.startswith("RESTANTE_"):
                assert value in _SAMPLES, f"{name}: nothing brings {value}"
                path = Path(folder) / str(number)
                path.write_text(_SAMPLES[value] + "\n")
                here[name] = str(path)
        try:
            os.environ.clear()
            os.environ.update(environ | here)
            return load(cls)
        finally:
            os.environ.clear()
            os.environ.update(kept)


def _ports(found: ServiceSettings, container: dict[str, Any]) -> list[str]:
    wanted = {address.target[1] for address in _tcp(found)}
    there = set(ports(container).values())
    wrong = [f"listens on {port}, which is no port of it" for port in sorted(wanted - there)]
    wrong += [f"has port {port}, where nothing listens" for port in sorted(there - wanted)]
    if ports(container).get("health") != found.health_listen.target[1]:
        wrong.append("its port health is not where it tells its health")
    return wrong


def _tcp(found: ServiceSettings) -> list[Any]:
    every = [*found.listeners.values(), found.health_listen]
    return [address for address in every if address and not address.is_unix]


def _files(given: dict[str, str], container: dict[str, Any]) -> list[str]:
    """Paths in settings lie below something that is mounted."""
    mounted = [mount["mountPath"] for mount in container["volumeMounts"]]
    return [
        f"{name}: nothing is mounted where {path} lies"
        for name, value in given.items()
        for path in value.split(",")
        if path.startswith("/") and not any(Path(path).is_relative_to(one) for one in mounted)
    ]


def targets(objects: Sequence[Object]) -> list[str]:
    """The names that settings call are Services, at ports that they have."""
    wrong = []
    doors = {
        service["metadata"]["name"]: {port["port"] for port in service["spec"]["ports"]}
        for service in objects
        if service["kind"] == "Service"
    }
    for workload in services_pods(objects):
        for where, container in containers(workload):
            target = environment(objects, container).get("RESTANTE_AUTH_TARGET", "")
            if container["args"] == ["auth"] and not target:
                continue  # `restante` finds its own service by the unix socket
            host, _, port = target.rpartition(":")
            if int(port or 0) not in doors.get(host, set()):
                wrong.append(f"{where}: RESTANTE_AUTH_TARGET: there is no Service at {target}")
    return wrong


def processes(objects: Sequence[Object]) -> list[str]:
    """The number of workers is said, and is not more than twice the CPUs of the limit."""
    wrong = []
    for workload in services_pods(objects):
        for where, container in containers(workload):
            workers = environment(objects, container).get("RESTANTE_WORKERS")
            limit = cpu(str(container["resources"]["limits"]["cpu"]))
            if workers is None:
                wrong.append(f"{where}: RESTANTE_WORKERS is not said")
            elif int(workers) > 2 * limit:
                wrong.append(f"{where}: {workers} workers on {limit} CPUs")
    return wrong


def balancers(objects: Sequence[Object]) -> list[str]:
    """Only imap and pop3 may expect PROXY headers: exim and the gateway send none to the others."""
    return [
        f"{where}: expects PROXY headers"
        for workload in services_pods(objects, "auth", "delivery", "webmail")
        for where, container in containers(workload)
        if any(
            name.endswith("PROXY_PROTOCOL_FROM") and value
            for name, value in environment(objects, container).items()
        )
    ]


CHECKS: Final = (settings, targets, processes, balancers)
