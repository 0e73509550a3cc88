"""`restante cert`, `restante volume`, and the command line around them."""

import datetime
import json
import os
import re
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from restante.cli.cert import app as cert
from restante.cli.cert import make_certificate, read_certificate
from restante.cli.main import app as main
from restante.cli.volume import app as volume
from restante.store.volume import check_volume

RUN = CliRunner()


@pytest.fixture(autouse=True)
def data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in [n for n in os.environ if n.startswith("RESTANTE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("RESTANTE_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def test_make_and_show(data: Path) -> None:
    made = RUN.invoke(cert, ["make", "--host", "mail.example.test", "--host", "192.0.2.1"])
    assert made.exit_code == 0, made.output
    shown = RUN.invoke(cert, ["show"])
    assert shown.output == made.output
    facts = json.loads(RUN.invoke(cert, ["show", "--json"]).output)
    assert facts["hosts"] == ["mail.example.test", "192.0.2.1"]
    assert facts["subject"] == "CN=mail.example.test"
    assert facts["self_signed"] is True
    assert re.fullmatch(r"([0-9A-F]{2}:){31}[0-9A-F]{2}", facts["sha256"])
    assert facts["sha256"] in made.output
    for name in ("cert.pem", "key.pem"):
        assert (data / "tls" / name).stat().st_mode & 0o777 == 0o600
    assert (data / "tls").stat().st_mode & 0o777 == 0o700
    assert sorted(p.name for p in (data / "tls").iterdir()) == ["cert.pem", "key.pem"]


def test_usual_names_without_hosts(monkeypatch: pytest.MonkeyPatch, data: Path) -> None:
    monkeypatch.setenv("RESTANTE_HOSTNAME", "mx1")
    assert RUN.invoke(cert, ["make"]).exit_code == 0
    facts = read_certificate(data / "tls" / "cert.pem")
    assert facts.hosts == ("mx1", "localhost", "127.0.0.1", "::1")


def test_days(data: Path) -> None:
    assert RUN.invoke(cert, ["make", "--days", "10"]).exit_code == 0
    left = read_certificate(data / "tls" / "cert.pem").not_after - datetime.datetime.now(
        datetime.UTC
    )
    assert datetime.timedelta(days=9, hours=23) < left <= datetime.timedelta(days=10)
    assert RUN.invoke(cert, ["make", "--days", "0", "--force"]).exit_code == 2


def test_existing_files_are_not_replaced_without_force(data: Path) -> None:
    assert RUN.invoke(cert, ["make"]).exit_code == 0
    before = (data / "tls" / "key.pem").read_bytes()
    refused = RUN.invoke(cert, ["make"])
    assert refused.exit_code == 1
    assert "exist already; --force replaces them" in refused.output
    assert (data / "tls" / "key.pem").read_bytes() == before
    (data / "tls" / "cert.pem").unlink()
    assert RUN.invoke(cert, ["make"]).exit_code == 1, "a lone key is not lost either"
    assert RUN.invoke(cert, ["make", "--force"]).exit_code == 0
    assert (data / "tls" / "key.pem").read_bytes() != before


def test_one_combined_file_as_mkimapdcert_made(tmp_path: Path) -> None:
    both = tmp_path / "etc" / "imapd.pem"
    assert RUN.invoke(cert, ["make", "--combined", str(both)]).exit_code == 0
    assert both.stat().st_mode & 0o777 == 0o600
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    assert RUN.invoke(cert, ["make", "--combined", str(both)]).exit_code == 1
    both_ways = ["make", "--combined", str(both), "--key", str(tmp_path / "k"), "--force"]
    assert RUN.invoke(cert, both_ways).exit_code == 1


def test_paths_follow_the_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RESTANTE_TLS_CERTIFICATE", str(tmp_path / "c"))
    monkeypatch.setenv("RESTANTE_TLS_KEY", str(tmp_path / "k"))
    assert RUN.invoke(cert, ["make"]).exit_code == 0
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tmp_path / "c", tmp_path / "k")


def test_show_without_a_certificate(data: Path) -> None:
    shown = RUN.invoke(cert, ["show"])
    assert shown.exit_code == 1
    assert "`restante cert make` makes one" in shown.output
    (data / "tls").mkdir(parents=True)
    (data / "tls" / "cert.pem").write_text("no certificate")
    assert RUN.invoke(cert, ["show"]).exit_code == 1


def test_a_name_that_cannot_stand_in_a_certificate(data: Path) -> None:
    made = RUN.invoke(cert, ["make", "--host", "ü" * 80])
    assert made.exit_code == 1
    assert "cannot make the certificate" in made.output
    assert not (data / "tls").exists()


def test_names_in_other_scripts_are_written_as_idna(tmp_path: Path) -> None:
    make_certificate(tmp_path / "c", tmp_path / "k", ["bücher.example"])
    assert read_certificate(tmp_path / "c").hosts == ("xn--bcher-kva.example",)


def test_clients_that_trust_it_accept_it(tmp_path: Path) -> None:
    make_certificate(tmp_path / "c", tmp_path / "k", ["localhost"])
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "c", tmp_path / "k")
    client = ssl.create_default_context(cafile=str(tmp_path / "c"))
    a, b, c, d = (ssl.MemoryBIO() for _ in range(4))
    one = client.wrap_bio(a, b, server_hostname="localhost")
    two = server.wrap_bio(c, d, server_side=True)
    done: set[ssl.SSLObject] = set()
    while done != {one, two}:
        for side, out, into in ((one, b, c), (two, d, a)):
            try:
                side.do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                pass
            into.write(out.read())
    assert one.version() == "TLSv1.3"


def test_volume_init(data: Path, tmp_path: Path) -> None:
    for words in (["init"], ["init"], ["init", str(tmp_path / "mnt")]):
        assert RUN.invoke(volume, words).exit_code == 0
    check_volume(data / "mail")
    check_volume(tmp_path / "mnt")
    (tmp_path / "file").write_text("")
    failed = RUN.invoke(volume, ["init", str(tmp_path / "file")])
    assert failed.exit_code == 1
    assert "cannot prepare" in failed.output


def test_help_names_every_command() -> None:
    shown = RUN.invoke(main, ["--help"])
    assert shown.exit_code == 0
    for name in ("all", "status", "domain", "account", "cert", "volume", "kick"):
        assert re.search(rf"\b{name}\b", shown.output), name
    assert RUN.invoke(main, ["nothing"]).exit_code == 2
    assert RUN.invoke(main, ["--version"]).output.startswith("restante ")


def test_light_commands_load_nothing_heavy() -> None:
    """The command line must answer at once; gRPC and the settings take most of a second."""
    script = (
        "import sys; sys.argv = ['restante', 'cert', 'show']\n"
        "import services.__main__\n"
        "try: services.__main__.main()\n"
        "except SystemExit: pass\n"
        "heavy = {'grpc', 'pydantic_settings', 'fastapi', 'uvloop', 'sqlalchemy', 'structlog'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
