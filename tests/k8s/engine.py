"""Pods of a rendering as containers of a Docker engine: what a manifest says is tried for real.

Not Kubernetes: no policies, no balancing. But the command, environment, user, capabilities,
read-only root, limits, mounts and probes are those of the manifest. A Service is an alias in a
network; Secrets are directories of files of root, as a kubelet makes them; an emptyDir is a tmpfs;
claims are volumes of the engine.
"""

import http.client
import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from tests.e2e import engine, images
from tests.k8s.looking import environment, matches, named, of_kind, pod_labels, pod_spec
from tests.k8s.rendering import Object

_LABELS: Final = [f"--label={key}={value}" for key, value in engine.LABELS.items()]
PATIENCE: Final = 120.0  # seconds for a pod to become ready on a busy machine


def docker(*words: str, check: bool = True, stdin: str = "", timeout: float = 120) -> str:
    """Run the client; return its output. AssertionError with what it said on stderr."""
    done = subprocess.run(
        ["docker", *words],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert not check or done.returncode == 0, f"docker {' '.join(words)}: {done.stderr}"
    return done.stdout.strip()


def missing() -> str:
    """Return why nothing can be run here, "" where it can."""
    if shutil.which("docker") is None:
        return "docker is not installed"
    if os.geteuid() != 0:
        return "only root can make files as a kubelet does"
    return engine.missing() or ""


def image(name: str) -> str:
    """Return what an image of a manifest is here: built from this tree, or somebody else's."""
    ours = {"restante": images.restante, "restante-exim": images.exim}
    made = ours.get(name.rpartition(":")[0].removeprefix("registry.example.org/"))
    return made() if made else images.third_party(name)


def until(what: Callable[[], object], why: Callable[[], str]) -> None:
    """Wait until `what` is true. AssertionError with `why` when it never is."""
    end = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < end, why()
        time.sleep(0.3)


class Cluster:
    """A network, volumes and the containers on it; a context manager that leaves nothing behind."""

    def __init__(self, objects: Sequence[Object], files: Path) -> None:
        """`files` has a directory for each Secret, named as it; ConfigMaps are written there."""
        self.objects = list(objects)
        self._files = files
        self.prefix = f"k8s-{secrets.token_hex(4)}"
        self.containers: list[str] = []
        self._volumes: set[str] = set()

    def __enter__(self) -> "Cluster":
        docker("network", "create", *_LABELS, self.prefix)
        return self

    def __exit__(self, *_: object) -> None:
        if self.containers:
            docker("rm", "-f", "-v", *self.containers, check=False)
        for volume in self._volumes:
            docker("volume", "rm", "-f", volume, check=False)
        docker("network", "rm", self.prefix, check=False)

    def run(self, kind: str, name: str, *, ordinal: int | None = None, wait: bool = True) -> str:
        """Start a pod; return the name of its first container. Waits until its probes pass."""
        workload = named(self.objects, kind, name)
        pod = name if ordinal is None else f"{name}-{ordinal}"
        first = ""
        for container in pod_spec(workload)["containers"]:
            here = f"{self.prefix}-{pod}" + (f"-{container['name']}" if first else "")
            words = [
                "run",
                "-d",
                "--name",
                here,
                *_LABELS,
                *self._arguments(workload, container, pod),
            ]
            if first:
                words += ["--network", f"container:{first}"]
            else:
                words += ["--network", self.prefix, "--hostname", pod]
                for alias in self._aliases(workload, pod):
                    words += ["--network-alias", alias]
            command = [str(word) for word in container.get("command", ())]
            if command:
                words += ["--entrypoint", command[0]]
            words += [image(container["image"]), *command[1:], *map(str, container.get("args", ()))]
            self.containers.append(here)
            docker(*words)
            first = first or here
            if wait:
                for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                    self._pass(here, first, container, probe)
        return first

    def finish(self, kind: str, name: str) -> tuple[int, str]:
        """Run a pod to its end; return its exit code and what it said."""
        here = self.run(kind, name, wait=False)
        code = int(docker("wait", here, timeout=PATIENCE))
        said = self.logs(here)
        docker("rm", "-f", "-v", here)
        self.containers.remove(here)
        return code, said

    def logs(self, container: str) -> str:
        """Return what a container said."""
        done = subprocess.run(
            ["docker", "logs", "--tail", "30", container],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout + done.stderr

    def address(self, container: str) -> str:
        """Return the IP address of a pod."""
        (network,) = json.loads(docker("inspect", container))[0]["NetworkSettings"][
            "Networks"
        ].values()
        return str(network["IPAddress"])

    # --- from a manifest to arguments -----------------------------------------------------------

    def _aliases(self, workload: Object, pod: str) -> list[str]:
        found = []
        for service in of_kind(self.objects, "Service"):
            if matches({"matchLabels": service["spec"]["selector"]}, pod_labels(workload)):
                name = service["metadata"]["name"]
                found += [name, f"{pod}.{name}.restante.svc.cluster.local"]
        return found

    def _arguments(self, workload: Object, container: dict[str, Any], pod: str) -> list[str]:
        spec = pod_spec(workload)
        outer, inner = spec["securityContext"], container["securityContext"]
        limits = container["resources"]["limits"]
        words = [
            f"--user={outer['runAsUser']}:{outer['runAsGroup']}",
            f"--memory={str(limits['memory']).replace('i', '').lower()}",
            f"--stop-timeout={min(spec.get('terminationGracePeriodSeconds', 30), 30)}",
        ]
        if "fsGroup" in outer:
            words.append(f"--group-add={outer['fsGroup']}")
        words += [f"--cap-drop={one}" for one in inner["capabilities"]["drop"]]
        if inner["allowPrivilegeEscalation"] is False:
            words.append("--security-opt=no-new-privileges")
        if inner["readOnlyRootFilesystem"]:
            words.append("--read-only")
        for key, value in self._environment(container, pod).items():
            words.append(f"--env={key}={value}")
        for mount in container["volumeMounts"]:
            words += self._mount(workload, mount, pod)
        return words

    def _environment(self, container: dict[str, Any], pod: str) -> dict[str, str]:
        found = environment(self.objects, container)
        own = {"metadata.namespace": "restante", "metadata.name": pod}
        for entry in container.get("env", ()):
            if "fieldRef" in entry.get("valueFrom", {}):
                found[entry["name"]] = own[entry["valueFrom"]["fieldRef"]["fieldPath"]]
        for key in found:
            for other, inside in tuple(found.items()):
                found[key] = found[key].replace(f"$({other})", inside)
        return found

    def _mount(self, workload: Object, mount: dict[str, Any], pod: str) -> list[str]:
        spec, path = pod_spec(workload), mount["mountPath"]
        templates = workload["spec"].get("volumeClaimTemplates", ())
        if mount["name"] in [claim["metadata"]["name"] for claim in templates]:
            return [f"--volume={self._volume(mount['name'] + '-' + pod)}:{path}"]
        (volume,) = [one for one in spec["volumes"] if one["name"] == mount["name"]]
        if "emptyDir" in volume:
            # An engine takes the mode of the image's directory, so its owner must be the user.
            context = spec["securityContext"]
            owner = f"uid={context['runAsUser']},gid={context['runAsGroup']}"
            return [f"--tmpfs={path}:rw,exec,mode=0777,{owner}"]
        if "persistentVolumeClaim" in volume:
            claim = volume["persistentVolumeClaim"]["claimName"]
            return [f"--volume={self._export(claim)}:{path}"]
        return [f"--volume={self._directory(spec, volume, pod)}:{path}:ro"]

    def _volume(self, name: str) -> str:
        volume = f"{self.prefix}-{name}"
        if volume not in self._volumes:
            docker("volume", "create", *_LABELS, volume)
            self._volumes.add(volume)
        return volume

    def _export(self, claim: str) -> str:
        """Return a mail volume, made as its operator does: the root is the services' own."""
        if f"{self.prefix}-{claim}" in self._volumes:
            return f"{self.prefix}-{claim}"
        volume = self._volume(claim)
        words = ["run", "--rm", "--user=0:0", f"--volume={volume}:/export", "--entrypoint=install"]
        owner = ["-d", "-o", "5000", "-g", "5000", "-m", "0711", "/export"]
        docker(*words, *_LABELS, image("restante:0.2.0"), *owner)
        return volume

    def _directory(self, spec: dict[str, Any], volume: dict[str, Any], pod: str) -> Path:
        """Write a volume of Secrets or of a ConfigMap as a kubelet would."""
        directory = self._files / f"{pod}-{volume['name']}"
        directory.mkdir(exist_ok=True)
        source = volume.get("secret") or volume.get("configMap") or volume["projected"]
        mode, group = source.get("defaultMode", 0o644), spec["securityContext"].get("fsGroup", 0)
        for one in volume.get("projected", {}).get("sources", [volume]):
            for name, data in self._content(one).items():
                (directory / name).write_bytes(data)
                (directory / name).chmod(mode)
                os.chown(directory / name, 0, group)
        return directory

    def _content(self, source: dict[str, Any]) -> dict[str, bytes]:
        if "configMap" in source:
            data = named(self.objects, "ConfigMap", source["configMap"]["name"])["data"]
            return {name: text.encode() for name, text in data.items()}
        secret = source["secret"]
        place = self._files / (secret.get("secretName") or secret["name"])
        return {item["path"]: (place / item["key"]).read_bytes() for item in secret["items"]}

    # --- probes -----------------------------------------------------------------------------------

    def _pass(self, here: str, first: str, container: dict[str, Any], kind: str) -> None:
        probe, ports = container[kind], {p["name"]: p["containerPort"] for p in container["ports"]}
        until(
            lambda: self._asked(here, first, probe, ports),
            lambda: f"{here}: {kind} does not pass:\n{self.logs(here)}",
        )

    def _asked(self, here: str, first: str, probe: dict[str, Any], ports: dict[str, int]) -> bool:
        state = docker("inspect", "-f", "{{.State.Running}}", here)
        assert state == "true", f"{here} has ended:\n{self.logs(here)}"
        if "exec" in probe:
            words = ["docker", "exec", here, *probe["exec"]["command"]]
            return subprocess.run(words, capture_output=True, check=False).returncode == 0
        port = ports[(probe.get("httpGet") or probe["tcpSocket"])["port"]]
        client = http.client.HTTPConnection(self.address(first), port, timeout=5)
        try:
            client.connect()
            if "tcpSocket" in probe:
                return True
            client.request("GET", probe["httpGet"]["path"])
            return client.getresponse().status == 200
        except OSError:
            return False
        finally:
            client.close()
