"""The settings of exim's pod, read by the program that reads them in its image."""

import os
import subprocess
from collections.abc import Sequence
from typing import Final

from tests.k8s.looking import containers, environment, of_kind, ports
from tests.k8s.rendering import ROOT, Object

RENDER: Final = ROOT / "deploy" / "exim" / "render"

_DOORS: Final = {
    "smtp": "SMTP_PORT",
    "submission": "SUBMISSION_PORT",
    "submissions": "SUBMISSIONS_PORT",
}


def exim(objects: Sequence[Object]) -> list[str]:
    """Every EXIM_* is a setting with a right value, and ports are those of the container."""
    wrong = []
    doors = {
        f"{service['metadata']['name']}:{port['port']}"
        for service in of_kind(objects, "Service")
        for port in service["spec"]["ports"]
    }
    for workload in of_kind(objects, "StatefulSet"):
        for where, container in containers(workload):
            if container["name"] != "exim":
                continue
            given = environment(objects, container)
            done = _render(given)
            if done.returncode:
                wrong.append(f"{where}: {done.stderr.strip()}")
                continue
            for name, setting in _DOORS.items():
                port = _render(given, "--get", setting).stdout.strip()
                if port != str(ports(container).get(name)):
                    wrong.append(f"{where}: port {name} is not EXIM_{setting}")
            for setting in ("AUTH", "DELIVERY"):
                door = _render(given, "--get", setting).stdout.strip()
                if door not in doors:
                    wrong.append(f"{where}: EXIM_{setting}: there is no Service at {door}")
    return wrong


def _render(given: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(RENDER), *words],
        env={"PATH": os.environ["PATH"], **given},
        capture_output=True,
        text=True,
        check=False,
    )


CHECKS: Final = (exim,)
