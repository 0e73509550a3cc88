"""`restante doctor`: what each check says of what is right, doubtful and wrong."""

import datetime
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from restante.cli.cert import make_certificate
from restante.cli.doctor import certificates, files, machine, volume
from restante.cli.doctor import settings as doctor_settings
from restante.cli.doctor.finding import Finding
from restante.cli.doctor.volume import Mount
from restante.store.volume import create_volume
from services.imap.settings import ImapSettings


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in os.environ if n.startswith("RESTANTE_")]:
        monkeypatch.delenv(name)


def imap(data: Path, **values: Any) -> dict[str, Any]:
    return {"imap": ImapSettings(data=data, hostname="mail.example.test", **values)}


def said(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    return [(finding.status, finding.text) for finding in findings]


def bad(findings: Iterable[Finding]) -> list[str]:
    found = [finding for finding in findings if finding.status != "OK"]
    assert all(finding.advice for finding in found)
    return [f"{finding.status} {finding.text}" for finding in found]


def test_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    classes = {"imap": lambda: ImapSettings}
    found, finding = doctor_settings.check_settings("imap", classes["imap"])
    assert found is not None
    assert finding.status == "OK"
    monkeypatch.setenv("RESTANTE_IMAP_LISTEN", "nonsense:port")
    found, finding = doctor_settings.check_settings("imap", classes["imap"])
    assert found is None
    assert finding.status == "FAIL"
    assert finding.text.startswith("RESTANTE_IMAP_LISTEN: 'nonsense:port': ")


def test_misspelled_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    classes = {"imap": lambda: ImapSettings}
    monkeypatch.setenv("RESTANTE_DATA", "x")
    monkeypatch.setenv("RESTANTE_ADMIN_TOKEN_FILE", "x")
    monkeypatch.setenv("RESTANTE_IMAP_TLS_REQUIRED", "1")
    assert bad(doctor_settings.check_variables(classes)) == []
    monkeypatch.setenv("RESTANTE_IMAP_TLS_REQUIERD", "secret value")
    (finding,) = doctor_settings.check_variables(classes)
    assert (finding.status, finding.text) == ("WARN", "nothing reads RESTANTE_IMAP_TLS_REQUIERD")
    assert finding.advice == "did you mean RESTANTE_IMAP_TLS_REQUIRED?"


def test_the_data_directory(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert bad(files.check(imap(data))) == ["FAIL No such file or directory"]
    (data / "run").mkdir(mode=0o700, parents=True)
    data.chmod(0o755)
    (data / "run/admin.token").write_text("x")
    (data / "run/admin.token").chmod(0o644)
    assert bad(files.check(imap(data))) == [
        "FAIL others may enter it (mode 0755)",
        "FAIL others may read it (mode 0644)",
    ]
    data.chmod(0o700)
    (data / "run/admin.token").chmod(0o600)
    assert bad(files.check(imap(data))) == []
    (tmp_path / "file").write_text("")
    assert bad(files.check(imap(tmp_path / "file"))) == ["FAIL is not a directory"]


def pair(tmp_path: Path, hosts: list[str], days: int = 100) -> dict[str, Any]:
    made = {"tls_certificate": tmp_path / "c.pem", "tls_key": tmp_path / "k.pem"}
    make_certificate(made["tls_certificate"], made["tls_key"], hosts, days)
    return imap(tmp_path, **made)


def test_a_good_certificate(tmp_path: Path) -> None:
    assert bad(certificates.check(pair(tmp_path, ["mail.example.test"]))) == []
    assert bad(certificates.check(pair(tmp_path, ["*.example.test"]))) == []


def test_certificates_that_are_not(tmp_path: Path) -> None:
    assert bad(certificates.check(imap(tmp_path))) == ["WARN is not there: no TLS is served"]
    found = pair(tmp_path, ["other.test"])
    (text,) = bad(certificates.check(found))
    assert text == "WARN is for other.test, not for RESTANTE_HOSTNAME mail.example.test"
    day = datetime.date.today
    found = pair(tmp_path, ["mail.example.test"], days=3)
    ends = day() + datetime.timedelta(days=3)
    assert bad(certificates.check(found)) == [f"WARN ends on {ends}"]
    found = pair(tmp_path, ["mail.example.test"], days=0)
    assert bad(certificates.check(found))[0].startswith("FAIL ended on ")
    found = pair(tmp_path, ["mail.example.test"])
    (tmp_path / "k.pem").chmod(0o644)
    assert bad(certificates.check(found)) == ["WARN others may read it (mode 0644)"]
    make_certificate(tmp_path / "x.pem", tmp_path / "k.pem", ["x"])
    (text,) = bad(certificates.check(found))
    assert text.startswith(f"FAIL the key {tmp_path}/k.pem does not fit: KEY_VALUES_MISMATCH")
    (tmp_path / "k.pem").unlink()
    (text,) = bad(certificates.check(found))
    assert "No such file" in text
    (tmp_path / "c.pem").write_text("nonsense")
    assert bad(certificates.check(found))[0].startswith("FAIL cannot be read: ")


def test_the_volume(tmp_path: Path) -> None:
    root = tmp_path / "mail"
    found = imap(tmp_path, mail_root=root)
    assert "no .restante-volume" in bad(volume.check(found))[0]
    create_volume(root)
    told = said(volume.check(found))
    assert ("OK", "can be written") in told
    assert ("OK", "has our time") in told
    assert [path.name for path in root.iterdir()] == [".restante-volume"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("rw,hard,vers=4.2,lookupcache=pos,local_lock=none", []),
        ("rw,hard,vers=4.2,lookupcache=none", []),
        ("rw,soft,vers=4.2,lookupcache=pos", ["FAIL is mounted soft"]),
        ("rw,hard,vers=3,lookupcache=pos", ["FAIL is NFS version 3"]),
        ("rw,hard,vers=4.1,lookupcache=pos", ["WARN is NFS version 4.1"]),
        ("rw,hard,vers=4.2", ["WARN remembers"]),
        ("rw,hard,nolock,vers=3,lookupcache=pos", ["FAIL is NFS", "FAIL locks"]),
        ("rw,hard,vers=4.2,lookupcache=pos,local_lock=all", ["FAIL locks"]),
    ],
)
def test_nfs_options(options: str, expected: list[str]) -> None:
    mount = Mount("/mail", "nfs4", "host:/mail", tuple(options.split(",")))
    found = bad(volume.nfs_findings("volume", mount))
    assert found.pop() == "WARN whether the server exports it sync cannot be seen here"
    assert len(found) == len(expected)
    for text, start in zip(found, expected, strict=True):
        assert text.startswith(start)


def test_which_mount_a_path_lies_on(tmp_path: Path) -> None:
    info = tmp_path / "mountinfo"
    mail = tmp_path / "the mail"
    mail.mkdir()
    shown = str(mail).replace(" ", "\\040")
    info.write_text(
        "22 1 0:1 / / rw shared:1 - ext4 /dev/sda rw\n"
        f"23 22 0:2 / {shown} rw,relatime shared:2 - nfs4 h:/m rw,vers=4.2,hard\n"
        f"24 22 0:3 / {shown}x rw - tmpfs t rw\n"
    )
    mount = volume.mount_of(mail / "sub", info)
    assert mount is not None
    assert (mount.kind, mount.source, mount.value("vers")) == ("nfs4", "h:/m", "4.2")
    root = volume.mount_of(Path("/etc"), info)
    assert root is not None
    assert root.kind == "ext4"


def test_limits_and_clock(tmp_path: Path) -> None:
    few = said(machine.check(imap(tmp_path, max_connections=1)))
    assert few[0][0] == "OK"
    many = bad(machine.check(imap(tmp_path, max_connections=1_000_000)))
    assert many == [] or "imap may have 1000000 connections" in many[0]
    redis = said(machine.check(imap(tmp_path, hints="redis://127.0.0.1/0")))
    assert len(redis) == 2
