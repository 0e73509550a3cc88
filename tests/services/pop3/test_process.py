"""The POP3 service as a real process, on real Maildirs filled by the delivery service."""

import poplib
import signal
import smtplib
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import ServiceProcess, System
from tests.support.system import unique_message

PASSWORD = "secret 1"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with System(
        tmp_path_factory.mktemp("pop3"), ("delivery", "pop3"), {"RESTANTE_WORKERS": "2"}
    ) as system:
        yield system


@pytest.fixture
def user(system: System, request: pytest.FixtureRequest) -> str:
    """A fresh account."""
    address = f"u{abs(hash(request.node.name)) % 10**12}@example.test"
    system.add_account(address, PASSWORD)
    return address


def fill(system: System, address: str, count: int, size: int = 0) -> list[bytes]:
    messages = [unique_message(f"number {n}", size) for n in range(count)]
    with smtplib.LMTP(*system.address("delivery", "lmtp_listen")) as client:
        for message in messages:
            client.sendmail("bob@x.test", address, message)
    return messages


def log_in(system: System, address: str) -> poplib.POP3:
    client = poplib.POP3(*system.address("pop3"), timeout=10)
    client.user(address)
    client.pass_(PASSWORD)
    return client


def maildir(system: System, address: str) -> Path:
    local, _, domain = address.partition("@")
    return system.mail_root / domain / local[:1] / local[:2] / local / "Maildir"


def test_messages_come_out_as_they_went_in(system: System, user: str) -> None:
    messages = fill(system, user, 3)
    client = log_in(system, user)
    count, octets = client.stat()
    assert count == 3
    sizes = [int(line.split()[1]) for line in client.list()[1]]
    for number, (message, size) in enumerate(zip(messages, sizes, strict=True), 1):
        _, lines, _ = client.retr(number)
        wire = b"".join(line + b"\r\n" for line in lines)
        assert wire.endswith(message)
        assert len(wire) == size
    assert sum(sizes) == octets
    client.quit()
    names = [file.name for file in (maildir(system, user) / "cur").iterdir()]
    assert len(names) == 3
    assert all(name.endswith(":2,S") for name in names)


def test_uidls_stay_and_are_unique(system: System, user: str) -> None:
    fill(system, user, 5)
    first = log_in(system, user)
    before = first.uidl()[1]
    first.dele(2)
    first.quit()
    second = log_in(system, user)
    after = second.uidl()[1]
    second.quit()
    ids = [line.split()[1] for line in before]
    assert len(set(ids)) == 5
    assert [line.split()[1] for line in after] == [ids[0], *ids[2:]]


def test_concurrent_sessions(system: System, user: str) -> None:
    fill(system, user, 3)
    one, two = log_in(system, user), log_in(system, user)
    one.dele(1)
    fill(system, user, 1)
    assert one.stat()[0] == 2
    assert two.stat()[0] == 3
    one.quit()
    with pytest.raises(poplib.error_proto, match="gone"):
        two.retr(1)
    assert two.retr(2)[0].startswith(b"+OK")
    two.dele(1)  # gone already: no harm
    two.dele(3)
    two.quit()
    last = log_in(system, user)
    assert last.stat()[0] == 2
    last.quit()


def test_a_dropped_connection_removes_nothing(system: System, user: str) -> None:
    fill(system, user, 2)
    client = log_in(system, user)
    client.dele(1)
    client.close()
    again = log_in(system, user)
    assert again.stat()[0] == 2
    again.quit()


def test_a_large_message(system: System, user: str) -> None:
    (message,) = fill(system, user, 1, size=5_000_000)
    client = log_in(system, user)
    _, lines, _ = client.retr(1)
    assert b"".join(line + b"\r\n" for line in lines).endswith(message)
    assert len(client.top(1, 3)[1]) < 20
    client.quit()


def test_implicit_tls(system: System, user: str) -> None:
    context = system.tls_client()
    context.check_hostname = False
    client = poplib.POP3_SSL(*system.address("pop3", "tls_listen"), context=context)
    assert "STLS" not in client.capa()
    client.user(user)
    client.pass_(PASSWORD)
    client.quit()


def test_stls(system: System, user: str) -> None:
    context = system.tls_client()
    context.check_hostname = False
    client = poplib.POP3(*system.address("pop3"))
    assert "STLS" in client.capa()
    client.stls(context)
    assert "STLS" not in client.capa()
    client.user(user)
    client.pass_(PASSWORD)
    assert client.stat() == (0, 0)
    client.quit()


def test_stls_injection(system: System, user: str) -> None:
    """CVE-2021-38084 and kin: a USER sent in clear behind STLS is not known under TLS."""
    plain = socket.create_connection(system.address("pop3"), timeout=10)
    assert plain.recv(4096).startswith(b"+OK")
    plain.sendall(b"USER " + user.encode() + b"\r\n")
    assert plain.recv(4096).startswith(b"+OK")
    plain.sendall(b"STLS\r\nUSER " + user.encode() + b"\r\nNOOP\r\n")
    assert plain.recv(4096) == b"+OK Begin TLS negotiation now.\r\n"
    tls = system.tls_client().wrap_socket(plain, server_hostname="localhost")
    tls.sendall(b"PASS " + PASSWORD.encode() + b"\r\n")
    assert tls.recv(4096) == b"-ERR USER/PASS required.\r\n"
    tls.sendall(b"STLS\r\n")
    assert tls.recv(4096).startswith(b"-ERR")
    tls.close()


def test_wrong_password_is_not_logged(system: System, user: str) -> None:
    client = poplib.POP3(*system.address("pop3"))
    client.user(user)
    with pytest.raises(poplib.error_proto, match=r"\[AUTH\] Login failed"):
        client.pass_("not-the-password-of-anyone")
    client.close()
    assert "not-the-password-of-anyone" not in system["pop3"].log() + system["auth"].log()


@pytest.mark.parametrize("name", ["../bob@example.test", "a/../b@example.test", "..", "/etc"])
def test_names_that_look_like_paths(system: System, name: str) -> None:
    client = poplib.POP3(*system.address("pop3"))
    client.user(name)
    with pytest.raises(poplib.error_proto, match=r"\[AUTH\]"):
        client.pass_("x")
    client.close()
    assert {p.name for p in system.mail_root.iterdir()} <= {
        ".restante-volume",
        ".restante-keys",
        "example.test",
    }


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("disablepop3=1", "-ERR POP3 access disabled for this account."),
        ("disableinsecurepop3=1", "-ERR POP3 access disabled via insecure connection."),
    ],
)
def test_couriers_words(system: System, option: str, words: str) -> None:
    address = f"{option.partition('=')[0]}@example.test"
    system.add_account(address, PASSWORD, options=option)
    client = poplib.POP3(*system.address("pop3"))
    client.user(address)
    with pytest.raises(poplib.error_proto) as refused:
        client.pass_(PASSWORD)
    assert refused.value.args[0] == words.encode()
    if "insecure" in option:
        context = ssl._create_unverified_context()
        secure = poplib.POP3_SSL(*system.address("pop3", "tls_listen"), context=context)
        secure.user(address)
        assert secure.pass_(PASSWORD) == b"+OK logged in."
        secure.quit()


def test_courier_keeps_its_uidls(system: System, user: str) -> None:
    """courierpop3dsizelist found on first opening: the UIDLs that clients know stay."""
    root = maildir(system, user)
    for directory in ("tmp", "new", "cur"):
        (root / directory).mkdir(parents=True, exist_ok=True)
    names = [f"16000000{n:02d}.M1P1V0I0.host,S=13:2,S" for n in range(3)]
    for name in names:
        (root / "cur" / name).write_bytes(b"Subject: old\n")
    rows = [
        f"{names[0]} 14 7:1500000000:0",
        f"{names[1]} 14 8:0:0",
        f"{names[2]} 14 0:0:0",
    ]
    (root / "courierpop3dsizelist").write_text("/3 9 1500000000\n" + "\n".join(rows) + "\n")
    client = log_in(system, user)
    assert [line.split()[1] for line in client.uidl()[1]] == [
        b"UID7-1500000000",
        b"UID8",
        b"1600000002.M1P1V0I0.host,S=13",
    ]
    client.quit()


def test_auth_down(tmp_path: Path) -> None:
    with System(tmp_path, ("pop3",)) as system:
        system.add_account("fred@example.test", PASSWORD)
        system["auth"].stop()
        client = poplib.POP3(*system.address("pop3"), timeout=20)
        client.user("fred@example.test")
        with pytest.raises(poplib.error_proto, match=r"\[SYS/TEMP\]"):
            client.pass_(PASSWORD)
        system["auth"].start()
        client.user("fred@example.test")
        assert client.pass_(PASSWORD) == b"+OK logged in."
        client.quit()


def test_login_delay_holds_for_all_workers(tmp_path: Path) -> None:
    env = {"RESTANTE_POP3_LOGIN_DELAY": "600", "RESTANTE_WORKERS": "2"}
    with System(tmp_path, ("pop3",), env) as system:
        system.add_account("fred@example.test", PASSWORD)
        log_in(system, "fred@example.test").quit()
        for _ in range(5):
            client = poplib.POP3(*system.address("pop3"))
            assert client.capa()["LOGIN-DELAY"] == ["600"]
            client.user("fred@example.test")
            with pytest.raises(poplib.error_proto, match=r"\[LOGIN-DELAY\]"):
                client.pass_(PASSWORD)


def test_a_stopped_service_lets_a_client_quit(tmp_path: Path) -> None:
    with System(tmp_path, ("delivery", "pop3")) as system:
        system.add_account("fred@example.test", PASSWORD)
        fill(system, "fred@example.test", 2)
        client = log_in(system, "fred@example.test")
        client.dele(1)
        system["pop3"].signal(signal.SIGTERM)
        assert client.stat()[0] == 1
        client.quit()
        assert system["pop3"].wait() == 0
        assert len(list((maildir(system, "fred@example.test") / "cur").iterdir())) == 1


def test_no_start_without_the_volume(tmp_path: Path) -> None:
    service = ServiceProcess("pop3", tmp_path / "data")
    service.spawn()
    assert service.wait() != 0
    assert ".restante-volume" in service.log()
    service.stop()


@pytest.mark.parametrize(
    ("name", "value"),
    [("RESTANTE_POP3_EXPIRE", "soon"), ("RESTANTE_POP3_IDLE_TIMEOUT", "0")],
)
def test_a_wrong_setting_is_one_line(tmp_path: Path, name: str, value: str) -> None:
    service = ServiceProcess("pop3", tmp_path / "data", {name: value})
    service.spawn()
    assert service.wait() == 78
    (line,) = service.log().strip().splitlines()
    assert line.startswith(f"restante: wrong settings: {name}: ")
    service.stop()
