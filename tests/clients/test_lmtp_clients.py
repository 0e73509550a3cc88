"""Programs that hand mail over by LMTP: swaks, smtplib, and exim's two ways of doing it."""

import os
import shutil
import smtplib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.programs import need, run
from tests.support import System
from tests.support.system import unique_message

FRED = "fred@example.test"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with System(tmp_path_factory.mktemp("clients"), ("delivery",)) as system:
        for name in ("fred", "ann", "joe"):
            system.add_account(f"{name}@example.test", "secret1")
        yield system


def stored(system: System, address: str = FRED) -> list[bytes]:
    local, _, domain = address.partition("@")
    new = system.mail_root / domain / local[:1] / local[:2] / local / "Maildir" / "new"
    return [file.read_bytes() for file in sorted(new.iterdir())] if new.exists() else []


def holds(messages: list[bytes], subject: str) -> int:
    return sum(f"Subject: {subject}\n".encode() in message for message in messages)


@pytest.mark.parametrize("option", [[], ["--pipeline"], ["--tls"]], ids=["plain", "pipe", "tls"])
def test_swaks(system: System, option: list[str]) -> None:
    swaks = need("swaks")
    support = subprocess.run([swaks, "--support"], capture_output=True, check=False)
    if "--tls" in option and b"TLS not available" in support.stdout + support.stderr:
        pytest.skip("swaks has no TLS here: Perl's Net::SSLeay is not installed")
    host, port = system.address("delivery", "lmtp_listen")
    subject = f"swaks {''.join(option)}"
    run(
        [
            swaks,
            *("--protocol", "LMTP", "--server", host, "--port", str(port), "--timeout", "10"),
            *("--from", "bob@x.test", "--to", f"{FRED},ann@example.test"),
            *("--h-Subject", subject, "--body", "one\n.\n..two\n", "--suppress-data"),
            *option,
        ]
    )
    assert holds(stored(system), subject) == 1
    assert holds(stored(system, "ann@example.test"), subject) == 1
    message = next(m for m in stored(system) if f"Subject: {subject}\n".encode() in m)
    assert b"\none\n.\n..two\n" in message
    assert (b"with LMTPS " if option == ["--tls"] else b"with LMTP ") in message


def test_swaks_is_told_of_an_unknown_recipient(system: System) -> None:
    swaks = need("swaks")
    host, port = system.address("delivery", "lmtp_listen")
    command = [swaks, "--protocol", "LMTP", "--server", host, "--port", str(port)]
    with pytest.raises(AssertionError, match=r"550 5\.1\.1"):
        run([*command, "--from", "bob@x.test", "--to", "nobody@example.test"])


def test_smtplib_with_chunks_of_every_size(system: System) -> None:
    with smtplib.LMTP(*system.address("delivery", "lmtp_listen")) as client:
        for size in (0, 1, 1000, 70_000, 131_000, 300_000, 1_000_000):
            client.sendmail("bob@x.test", "joe@example.test", unique_message(f"s{size}", size))
    messages = stored(system, "joe@example.test")
    assert [holds(messages, f"s{size}") for size in (0, 1, 1000, 70_000)] == [1] * 4
    assert max(map(len, messages)) > 900_000


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that exim's own user can enter, as it cannot enter pytest's."""
    with tempfile.TemporaryDirectory(prefix="restante-exim-") as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.mark.parametrize("transport", ["smtp", "lmtp"])
def test_exim(transport: str, tmp_path: Path, open_directory: Path) -> None:
    """One transaction, four recipients: two get it, one bounces, one stays in the queue."""
    exim = need("exim4")
    if os.geteuid() != 0:
        pytest.skip("exim4 with a configuration of our own needs root")
    spool, sockets = open_directory / "spool", open_directory / "sockets"
    for directory in (spool, sockets):
        directory.mkdir()
        shutil.chown(directory, "Debian-exim", "Debian-exim")
    env = {"RESTANTE_DELIVERY_LMTP_LISTEN": f"unix:{sockets}/lmtp"} if transport == "lmtp" else {}
    with System(tmp_path, ("delivery",), env) as system:
        system.add_account(FRED, "secret1")
        system.add_account("ann@example.test", "secret1")
        system.add_account("full@example.test", "secret1", quota="10S")
        if transport == "lmtp":
            (sockets / "lmtp").chmod(0o666)
            how = f"driver = lmtp\n  socket = {sockets}/lmtp\n  batch_max = 100\n"
            how += "  user = Debian-exim\n"
        else:
            host, port = system.address("delivery", "lmtp_listen")
            how = f"driver = smtp\n  protocol = lmtp\n  hosts = {host}\n  port = {port}\n"
            how += "  allow_localhost\n  hosts_try_chunking = *\n"
        configuration = open_directory / "exim.conf"
        configuration.write_text(
            f"spool_directory = {spool}\nlog_file_path = {spool}/%slog\n"
            "primary_hostname = mx.test\nqualify_domain = example.test\n"
            "exim_user = Debian-exim\nexim_group = Debian-exim\ntls_advertise_hosts =\n"
            "keep_environment =\nnever_users =\ndomainlist local_domains = example.test\n"
            "begin routers\nstore:\n  driver = accept\n  domains = +local_domains\n"
            f"  transport = store\nbegin transports\nstore:\n  {how}  return_path_add\n"
            "begin retry\n* * F,1h,10m\n"
        )
        subject = f"by exim {transport}"
        recipients = [FRED, "ann@example.test", "nobody@example.test", "full@example.test"]
        run(
            [exim, "-C", str(configuration), "-oi", "-odf", "-f", FRED, *recipients],
            stdin=unique_message(subject).replace(b"\r\n", b"\n"),
        )
        log = (spool / "mainlog").read_text()
        assert '"250 2.1.5 <fred@example.test> delivered as ' in log, log
        assert '"250 2.1.5 <ann@example.test> delivered as ' in log, log
        assert "550 5.1.1 <nobody@example.test> no such user" in log, log
        assert "452 4.2.2 <full@example.test> mailbox is full" in log, log
        assert " <= <> R=" in log, log  # the bounce
        assert holds(stored(system), subject) >= 1  # the bounce quotes it
        (message,) = (m for m in stored(system, "ann@example.test") if subject.encode() in m)
        assert message.lower().count(b"\nreturn-path:") == 0
        assert message.startswith(b"Return-Path: <fred@example.test>\n")
