"""compose.yaml, its overrides, .env and the balancer's configuration hold together.

Nothing is started here: the files are read as both versions of compose read them. What runs is in
tests/e2e.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import jsonschema  # type: ignore[import-untyped]  # ships no types
import pytest
import yaml

from restante.cli import init, init_pki, init_secrets
from restante.cli.cert import make_certificate
from tests.arch.settings_doc import DOCUMENT

ROOT: Final = Path(__file__).resolve().parents[2]
BASE: Final = ROOT / "compose.yaml"
OVERRIDES: Final = sorted((ROOT / "deploy/compose").glob("*.yaml"))
BALANCER: Final = (ROOT / "deploy/compose/haproxy.cfg").read_text()

ONE_SHOT: Final = {"init", "demo"}
PROFILES: Final = {"demo": "dev", "prometheus": "observability", "grafana": "observability"}
SERVICES: Final = {
    *("init", "auth", "delivery", "pop3", "imap", "webmail", "exim", "redis", "postgres"),
    *("balancer", *PROFILES),
}
# Debian's package docker-compose (1.29) brings the schema of the Compose Specification along.
SCHEMA: Final = Path("/usr/lib/python3/dist-packages/compose/config/compose_spec.json")
_VARIABLE: Final = re.compile(r"(?<!\$)\$\{([A-Z0-9_]+)(?::-([^}]*))?\}")


def _env() -> dict[str, str]:
    lines = (ROOT / ".env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def _filled(text: str) -> str:
    values = _env()
    return _VARIABLE.sub(lambda found: values[found[1]], text).replace("$$", "$")


def _read(path: Path) -> dict[str, Any]:
    found = yaml.safe_load(_filled(path.read_text()))
    assert isinstance(found, dict)
    return found


COMPOSE: Final = _read(BASE)


def _service(name: str) -> dict[str, Any]:
    found = COMPOSE["services"][name]
    assert isinstance(found, dict)
    return found


def _mounts(name: str) -> dict[str, tuple[str, str]]:
    """Return what is mounted: target -> (volume or path, mode)."""
    split = [volume.split(":") for volume in _service(name).get("volumes", [])]
    return {target: (source, mode[0] if mode else "rw") for source, target, *mode in split}


def test_the_services() -> None:
    assert set(COMPOSE["services"]) == SERVICES
    for name in SERVICES:
        assert _service(name).get("profiles", []) == [PROFILES[n] for n in [name] if n in PROFILES]


@pytest.mark.parametrize("path", [BASE, *OVERRIDES], ids=lambda path: path.name)
def test_what_both_versions_of_compose_read(path: Path) -> None:
    """No key that docker-compose 1.29 refuses or that compose v2 warns of (version)."""
    found = _read(path)
    assert {key for key in found if not key.startswith("x-")} <= {"services", "networks", "volumes"}
    for service in found["services"].values():
        assert not {"deploy", "develop", "configs", "extends", "container_name"} & set(service)
    if not SCHEMA.exists():
        pytest.skip("docker-compose 1.29 is not installed: no schema to compare with")
    jsonschema.Draft7Validator(json.loads(SCHEMA.read_text())).validate(
        {key: value for key, value in found.items() if not key.startswith("x-")},
    )


@pytest.mark.parametrize("override", [None, *OVERRIDES], ids=lambda path: path and path.name)
def test_docker_compose_reads_it(override: Path | None) -> None:
    program = shutil.which("docker-compose")
    if program is None:
        pytest.skip("docker-compose is not installed")
    files = ["-f", str(BASE), *(["-f", str(override)] if override else [])]
    run = subprocess.run(
        [program, *files, "--env-file", str(ROOT / ".env"), "config"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr == "", "a variable without a value"
    assert set(yaml.safe_load(run.stdout)["services"]) >= SERVICES - set(PROFILES)


def test_every_variable_has_a_value_and_a_use() -> None:
    used = {
        (name, default)
        for path in (BASE, *OVERRIDES)
        for name, default in _VARIABLE.findall(path.read_text())
    }
    env = _env()
    assert {name for name, _ in used} == set(env) - {"COMPOSE_PROFILES"}
    assert dict(used) == {name: env[name] for name, _ in used}
    assert len(used) == len(env) - 1, "one variable, two defaults"
    assert env["COMPOSE_PROFILES"] == "dev"


def test_every_variable_is_explained() -> None:
    before = ""
    for line in (ROOT / ".env").read_text().splitlines():
        assert not ("=" in line and not line.startswith("#") and not before), line
        before = line


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_is_confined(name: str) -> None:
    service = _service(name)
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "/tmp" in service["tmpfs"]
    assert service["pids_limit"]
    assert service["mem_limit"]
    assert service["cpus"]
    assert service["ulimits"]["nofile"]
    assert service["stop_grace_period"]
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert not {"privileged", "network_mode", "devices", "pid", "ipc"} & service.keys()
    assert "docker.sock" not in str(service)
    if name in ONE_SHOT:
        assert service["restart"] == "no"
        assert service["healthcheck"] == {"disable": True}
    else:
        assert service["restart"] == "unless-stopped"
        assert {"test", "interval", "timeout", "retries"} <= service["healthcheck"].keys()


def test_nobody_but_init_is_root() -> None:
    """The images of ours run as 5000, which their Dockerfiles say."""
    for name in SERVICES:
        user = str(_service(name).get("user", "image"))
        if user == "image":
            path = ROOT / _service(name)["build"]["dockerfile"]
            assert re.findall(r"(?m)^USER (.*)$", path.read_text())[-1] == "5000:5000"
        else:
            assert user.startswith("0:") is (name == "init")
        assert bool(_service(name).get("cap_add")) is (name == "init")


def test_who_is_reached_from_outside() -> None:
    assert COMPOSE["networks"]["back"]["internal"] is True
    for name in SERVICES:
        networks = set(_service(name)["networks"])
        published = name in {"exim", "balancer", "prometheus", "grafana"}
        assert networks == ({"front", "back"} if published else {"back"})
        assert bool(_service(name).get("ports")) is published


def test_every_service_waits_for_init() -> None:
    for name in SERVICES - {"init", "prometheus"}:
        waited = _service(name)["depends_on"]
        if name != "demo":
            assert waited["init"] == {"condition": "service_completed_successfully"}
        for other, how in waited.items():
            assert other not in PROFILES
            assert how["condition"] in {
                "service_completed_successfully" if other == "init" else "service_healthy",
                "service_started",
            }
    assert _service("demo")["depends_on"]["auth"] == {"condition": "service_healthy"}


# --- files ----------------------------------------------------------------------------------------

FILES: Final = {
    "/run/secrets": {kept.name for kept in (*init_secrets.ALL, init.FIRST_START)},
    "/run/tls": {init.NAMES, *(kept.name for kept in init_pki.TLS)},
    "/run/rpc": {kept.name for kept in init_pki.RPC},
}


@pytest.mark.parametrize("name", sorted(SERVICES - {"init"}))
def test_a_file_that_is_named_is_made_by_init_and_mounted(name: str) -> None:
    text = yaml.safe_dump(_service(name)) + (BALANCER if name == "balancer" else "")
    for directory, file in re.findall(r"(/run/(?:secrets|tls|rpc))/([a-z.]+[a-z])", text):
        assert file in FILES[directory]
        assert _mounts(name)[directory][1] == "ro"
    for directory in FILES:
        named = f"{directory}/" in text or name in {"exim", "auth", "webmail", "delivery"}
        assert named or directory not in _mounts(name), f"{directory} is mounted and not used"


def test_init_may_write_where_it_makes_files() -> None:
    mounts = _mounts("init")
    assert {mounts[target][1] for target in (*FILES, "/srv/mail")} == {"rw"}


def test_volumes_and_files_are_there() -> None:
    for name in SERVICES:
        for source, _ in _mounts(name).values():
            if source.startswith("."):
                assert (ROOT / source).exists(), f"{name}: {source}"
            else:
                assert source in COMPOSE["volumes"]
    for override in OVERRIDES:
        assert set(_read(override).get("volumes", {})) <= set(COMPOSE["volumes"])
        assert set(_read(override)["services"]) <= SERVICES


def test_the_override_for_nfs() -> None:
    found = _read(ROOT / "deploy/compose/nfs.yaml")
    options = found["volumes"]["mail"]["driver_opts"]["o"].split(",")
    assert {"nfsvers=4.2", "hard", "sync", "lookupcache=positive"} <= set(options)
    with_mail = {name for name in SERVICES if "/srv/mail" in _mounts(name)}
    assert set(found["services"]) == with_mail


# --- settings and ports ---------------------------------------------------------------------------


def test_settings_exist() -> None:
    known = set(re.findall(r"RESTANTE_[A-Z0-9_]+", DOCUMENT.read_text()))
    for name in SERVICES:
        for variable in _service(name).get("environment", {}):
            if variable.startswith("RESTANTE_"):
                plain = re.sub(r"^RESTANTE_(POP3|IMAP)_(?=PROXY_PROTOCOL)", "RESTANTE_", variable)
                assert {plain, plain.removesuffix("_FILE")} & known, variable


def test_settings_of_exim_exist() -> None:
    listed = subprocess.run(
        ["bash", ROOT / "deploy/exim/render", "--list"], capture_output=True, text=True, check=True
    )
    known = {line.split("\t")[0] for line in listed.stdout.splitlines()}
    assert set(_service("exim")["environment"]) <= known


def _image_settings() -> dict[str, str]:
    text = (ROOT / "deploy/docker/Dockerfile").read_text()
    return dict(re.findall(r"(RESTANTE_[A-Z0-9_]+)=(\S+)", text))


def _ports(name: str) -> list[str]:
    return [str(port).split(":")[-1] for port in _service(name).get("ports", [])]


def test_the_balancer_listens_on_what_is_published() -> None:
    bound = re.findall(r"(?m)^  bind :(\d+)", BALANCER)
    assert set(_ports("balancer")) == set(bound) - {"8404"}
    assert len(bound) == len({*bound})


def test_the_balancer_knows_the_ports_of_the_image() -> None:
    settings = _image_settings()
    lines = re.findall(r"server-template \S+ \S+ (\w+):(\d+) check port (\d+)(.*)", BALANCER)
    assert len(lines) == 5
    for service, port, health, options in lines:
        upper = service.upper()
        own = [settings.get(f"RESTANTE_{upper}_{door}") for door in ("LISTEN", "TLS_LISTEN")]
        assert f"*:{port}" in own
        assert settings[f"RESTANTE_{upper}_HEALTH_LISTEN"] == f"*:{health}"
        mail = service in {"pop3", "imap"}
        assert ("send-proxy-v2" in options) is mail
        last = f"server-template last- 1-30 {service}:{port} send-proxy-v2\n"
        assert (last in BALANCER) is mail


def test_health_is_asked_on_the_ports_of_the_image() -> None:
    listens = {value for name, value in _image_settings().items() if "HEALTH_LISTEN" in name}
    (asked,) = re.findall(r"for port in ([\d ]+);", _service("imap")["healthcheck"]["test"][-1])
    assert set(asked.split()) == {"8404", *(value.removeprefix("*:") for value in listens)}


def test_ports_inside_the_stack_are_those_of_the_image() -> None:
    settings = _image_settings()
    auth = _service("auth")["environment"]
    doors = {**settings, **auth}
    assert _service("imap")["environment"]["RESTANTE_AUTH_TARGET"] == (
        "auth" + doors["RESTANTE_AUTH_TCP_LISTEN"].removeprefix("*")
    )
    exim = _service("exim")["environment"]
    assert exim["EXIM_AUTH"] == "auth" + doors["RESTANTE_AUTH_AUTHDAEMON_LISTEN"].removeprefix("*")
    assert exim["EXIM_DELIVERY"] == (
        "delivery" + doors["RESTANTE_DELIVERY_LMTP_LISTEN"].removeprefix("*")
    )


def test_proxy_headers_are_believed_from_the_balancer_alone() -> None:
    address = _service("balancer")["networks"]["back"]["ipv4_address"]
    for name in ("pop3", "imap"):
        variable = f"RESTANTE_{name.upper()}_PROXY_PROTOCOL_FROM"
        assert _service(name)["environment"][variable] == f"{address}/32"
    (pool,) = COMPOSE["networks"]["back"]["ipam"]["config"]
    network = _env()["BACK_NETWORK"]
    assert address == f"{network}.2"
    # Addresses that the engine gives away are in the upper half.
    assert pool["ip_range"] == f"{network}.128/25"


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed")
def test_haproxy_reads_its_configuration(tmp_path: Path) -> None:
    make_certificate(tmp_path / "tls.crt", tmp_path / "tls.key", ["localhost"])
    config = tmp_path / "haproxy.cfg"
    config.write_text(BALANCER.replace("/run/tls/", f"{tmp_path}/"))
    run = subprocess.run(
        ["haproxy", "-c", "-f", config],
        env={"HTTPS_PORT": "443", "PATH": "/usr/sbin:/usr/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr + run.stdout
    assert "[WARNING]" not in run.stderr
