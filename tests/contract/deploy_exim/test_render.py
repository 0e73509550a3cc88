"""Environment to macros: every setting is checked, nothing breaks out, docs/exim.md names all."""

import itertools
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.clients.programs import need
from tests.contract.deploy_exim.harness import DEPLOY
from tests.support.process import ROOT


def render(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    need("bash")
    return subprocess.run(
        [str(DEPLOY / "render"), *words],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def settings() -> list[tuple[str, str, str, str]]:
    rows = [line.split("\t") for line in render("--list").stdout.splitlines()]
    return [(name, default, kind, text) for name, default, kind, text in rows]


def test_the_defaults_are_a_configuration(tmp_path: Path) -> None:
    exim = need("exim4")
    done = render(EXIM_CONF_DIR=str(DEPLOY))
    assert (done.returncode, done.stderr) == (0, "")
    assert _configures(exim, tmp_path, done.stdout) == ""


def _configures(exim: str, folder: Path, macros: str) -> str:
    (folder / "macros").write_text(macros)
    (folder / "exim.conf").write_text(f".include {folder}/macros\n.include {DEPLOY}/exim.conf\n")
    done = subprocess.run(
        [exim, "-C", str(folder / "exim.conf"), "-bV"], capture_output=True, text=True, check=False
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


# For each kind of value one that is not the default.
SAMPLES = {
    "host": "mx.example.test",
    "domains": "a.test, *.b.test c.test",
    "path": "/tmp/x-1",
    "address": "a.b+c@d.test",
    "separator": "-",
    "seconds": "7",
    "percent": "0",
    "number": "3",
    "port": "2525",
    "door": "/run/auth/socket",
    "server": "[::1]:11333",
    "hosts": "a.test:1, [2001:db8::1]:2 10.0.0.1:3",
    "addresses": "127.0.0.1, ::1",
    "networks": "10.0.0.0/8, 2001:db8::/32",
    "size": "10M",
    "rate": "1/1h",
    "word": "s1",
    "login": "us@out.test",
    "priorities": "NORMAL",
}


@pytest.mark.slow
def test_every_setting_makes_a_configuration(tmp_path: Path) -> None:
    exim = need("exim4")
    faults = {}
    for name, default, kind, _ in settings():
        if name in ("EXIM_CONF_DIR", "EXIM_USER", "EXIM_GROUP"):
            continue
        values = kind.split(",") if "," in kind else ["yes", "no"]
        for value in values if "," in kind or kind == "yesno" else [SAMPLES[kind]]:
            environment = {"EXIM_CONF_DIR": str(DEPLOY), name: value}
            if "SMARTHOST" in name:
                environment.setdefault("EXIM_SMARTHOST", "a.test:465")
                environment.setdefault("EXIM_SMARTHOST_PASSWORD_FILE", "/x")
            if (name, value) == ("EXIM_TRANSPORT", "maildir") or "QUOTA" in name:
                environment |= {"EXIM_VERIFY": "userdb", "EXIM_TRANSPORT": "maildir"}
            if name.endswith("_DOWN"):
                environment[name.removesuffix("_DOWN")] = "a.test:1"
            done = render(**environment)
            fault = done.stderr or _configures(exim, tmp_path, done.stdout)
            if fault:
                faults[f"{name}={value}"] = fault
        del default
    assert faults == {}


BREAKING = ("a\nb", "a\r\nb", "x}", "${run{/bin/id}}", "$primary_hostname", 'a"b', "a#b", "a\\b",
            "a b;c", "/x\n.include /etc/passwd", "\x00"[:0] + "a\tb", "é")  # fmt: skip


@pytest.mark.parametrize("value", BREAKING)
def test_what_could_break_out_is_refused(value: str) -> None:
    for name, _, kind, _ in settings():
        if kind in ("domains",) and not re.search(r"[^\w. ,*-]", value):
            continue
        done = render(**{name: value})
        assert done.returncode == 78, (name, value)
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"exim: wrong setting {name}: expected ")
        assert done.stdout == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EXIM_NO_SUCH", "1"),
        ("EXIM_SMTP_PORT", "65536"),
        ("EXIM_VERIFY", "callout|x"),
        ("EXIM_TRANSPORT", "maildir"),  # with EXIM_VERIFY=callout
        ("EXIM_SMARTHOST_USER", "us"),  # without a password
    ],
)
def test_what_does_not_fit_is_refused(name: str, value: str) -> None:
    done = render(**{name: value})
    assert done.returncode == 78
    assert done.stderr.startswith("exim: wrong setting ")
    assert done.stdout == ""


def test_set_to_nothing_is_not_set() -> None:
    nothing = {name: "" for name, _, _, _ in settings()}
    assert render(**nothing).stdout == render().stdout


def test_names_of_macros_do_not_hide_each_other() -> None:
    """Exim replaces a macro wherever its name stands, also inside of a longer name."""
    names = [f"{name}_M" for name, _, _, _ in settings()]
    names += re.findall(r"^(\w+) =", render().stdout, re.MULTILINE)
    for conf in DEPLOY.glob("*.conf"):
        names += re.findall(r"^([A-Z][A-Z_]+) =", conf.read_text(), re.MULTILINE)
    for one, other in itertools.permutations(set(names), 2):
        assert one not in other


def test_the_tunnel_to_auth() -> None:
    assert "checkHost = auth\n" in render("--stunnel").stdout
    assert "checkIP = 10.0.0.1\n" in render("--stunnel", EXIM_AUTH="10.0.0.1:5").stdout
    assert render("--stunnel", EXIM_AUTH_TLS="no").stdout == ""
    assert render("--stunnel", EXIM_AUTH="/run/socket").stdout == ""
    for environment, door in (
        ({}, "/run/restante-exim/auth.sock"),
        ({"EXIM_AUTH_TLS": "no"}, "inet:auth:50053"),
        ({"EXIM_AUTH": "/run/socket"}, "/run/socket"),
    ):
        assert f"EXIM_AUTH_DOOR_M = {door}\n" in render(**environment).stdout


def test_the_documentation_names_every_setting_with_its_default() -> None:
    text = (ROOT / "docs/exim.md").read_text()
    for name, default, kind, description in settings():
        shown = f"`{default}`" if default else "none"
        choice = "" if "," not in kind else f" One of {kind.replace(',', ', ')}."
        assert f"| `{name}` | {shown} | {description}{choice} |\n" in text, name
    known = {name for name, _, _, _ in settings()}
    assert set(re.findall(r"\bEXIM_[A-Z_]+[A-Z]\b", text)) <= known
