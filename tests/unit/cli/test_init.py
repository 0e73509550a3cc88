"""`restante init`: what the first start makes, keeps, renews and refuses."""

import datetime
import json
import os
import re
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from typer.testing import CliRunner

from restante.cli import init_files, init_pki, init_secrets
from restante.cli.cert import make_certificate, read_certificate
from restante.cli.init import FIRST_START, NAMES, Where, app, prepare
from restante.cli.init_files import MAIL, Kept, Place
from restante.model import ErrorKind, MailError
from restante.store.volume import SENTINEL, check_volume, create_volume

RUN = CliRunner()
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


@pytest.fixture
def where(tmp_path: Path) -> Where:
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents:  # uid 5000 must reach the mail volume, as in a container
        if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o011)
    mail = tmp_path / "mail"
    mail.mkdir()
    return Where(
        tmp_path / "secrets",
        tmp_path / "tls",
        tmp_path / "rpc",
        mail,
        ["mail.example.org", "localhost"],
        [],
    )


def _content(where: Where) -> dict[Path, bytes]:
    return {
        path: path.read_bytes()
        for directory in (where.secrets, where.tls, where.rpc, where.mail)
        if directory.exists()
        for path in directory.iterdir()
        if path.is_file()
    }


def _command(where: Where, *more: str) -> tuple[int, str]:
    words = ["--secrets", where.secrets, "--tls", where.tls, "--rpc", where.rpc, *more]
    environment = {"RESTANTE_MAIL_ROOT": str(where.mail), "RESTANTE_HOSTNAME": "mail.example.org"}
    result = RUN.invoke(app, list(map(str, words)), env=environment)
    return result.exit_code, result.output


def _refusal(where: Where) -> str:
    with pytest.raises(MailError) as caught:
        prepare(where)
    assert caught.value.kind is ErrorKind.CANNOT
    assert "\n" not in caught.value.text
    return caught.value.text


def test_the_first_start_makes_everything(where: Where) -> None:
    done = prepare(where)
    assert done.first
    assert not done.warning
    assert {path.name for path in where.secrets.iterdir()} == {
        *(kept.name for kept in init_secrets.ALL),
        FIRST_START.name,
    }
    tls = {k.name for k in init_pki.TLS}
    assert {path.name for path in where.tls.iterdir()} == {NAMES, *tls}
    assert {path.name for path in where.rpc.iterdir()} == {k.name for k in init_pki.RPC}
    check_volume(where.mail)
    assert set(done.made) == set(_content(where))


def test_names_of_the_files() -> None:
    """Kubernetes brings Secrets with these names; compose.yaml and docs name them."""
    assert {kept.name for kept in init_secrets.ALL} >= {
        "auth.secret",
        "admin.token",
        "delivery.token",
        "postgres.password",
        "sql.url",
        "redis.url",
        "redis.conf",
    }
    assert {kept.name for kept in init_pki.TLS} == {"tls.crt", "tls.key"}
    assert {kept.name for kept in init_pki.RPC} >= {
        "ca.crt",
        "auth.crt",
        "auth.key",
        "client.crt",
        "client.key",
    }


def test_later_starts_change_nothing(where: Where) -> None:
    prepare(where)
    before = _content(where)
    done = prepare(where)
    assert (done.first, done.made) == (False, [])
    assert _content(where) == before


def test_passwords_stand_in_both_places(where: Where) -> None:
    prepare(where)
    password = (where.secrets / "postgres.password").read_text().strip()
    url = urlsplit((where.secrets / "sql.url").read_text().strip())
    assert (url.scheme, url.password, url.hostname) == ("postgresql", password, "postgres")
    conf = (where.secrets / "redis.conf").read_text()
    redis = urlsplit((where.secrets / "redis.url").read_text().strip())
    assert f"requirepass {redis.password}\n" in conf
    assert redis.hostname == "redis"
    secrets = [p.read_text() for p in where.secrets.iterdir() if p.name != FIRST_START.name]
    assert len({*secrets}) == len(secrets)
    assert all(len(text.strip()) >= 16 for text in secrets)


@pytest.mark.parametrize(
    ("there", "made", "expected"),
    [
        ("postgres.password", "sql.url", "postgresql://restante:p%40ss%2Fw@postgres:5432/restante"),
        ("sql.url", "postgres.password", "p@ss/w"),
        ("redis.conf", "redis.url", "redis://:p%40ss%2Fw@redis:6379/0"),
        ("redis.url", "redis.conf", "requirepass p@ss/w"),
    ],
)
def test_one_that_is_there_makes_the_other(
    where: Where, there: str, made: str, expected: str
) -> None:
    own = {
        "postgres.password": "p@ss/w\n",
        "sql.url": "postgresql://me:p%40ss%2Fw@db.example.org/mail\n",
        "redis.conf": "port 6379\nrequirepass p@ss/w\n",
        "redis.url": "redis://:p%40ss%2Fw@redis.example.org:6379/1\n",
    }[there]
    where.secrets.mkdir()
    (where.secrets / there).write_text(own)
    prepare(where)
    assert (where.secrets / there).read_text() == own
    assert expected in (where.secrets / made).read_text().splitlines()


def test_a_redis_without_a_password_is_called_without_one(where: Where) -> None:
    where.secrets.mkdir()
    (where.secrets / "redis.conf").write_text("# requirepass no\nport 6379\n")
    prepare(where)
    assert (where.secrets / "redis.url").read_text() == "redis://redis:6379/0\n"


def test_what_the_operator_brought_is_kept(where: Where) -> None:
    for directory in (where.secrets, where.tls):
        directory.mkdir()
    (where.secrets / "auth.secret").write_text("a secret of another system")
    make_certificate(where.tls / "tls.crt", where.tls / "tls.key", ["imap.example.net"])
    before = _content(where)
    prepare(where)
    after = _content(where)
    assert {path: after[path] for path in before} == before


def test_the_certificate_is_for_the_host_name(where: Where) -> None:
    assert _command(where)[0] == 0
    facts = read_certificate(where.tls / "tls.crt")
    assert facts.hosts == ("mail.example.org", "localhost")
    assert facts.self_signed


@as_root
def test_each_file_belongs_to_its_reader(where: Where) -> None:
    prepare(where)
    owner = {
        path.name: (path.stat().st_uid, path.stat().st_gid, stat.S_IMODE(path.stat().st_mode))
        for directory in (where.secrets, where.tls, where.rpc)
        for path in directory.iterdir()
        if path.is_file()
    }
    assert owner["auth.secret"] == (MAIL, MAIL, 0o400)
    assert owner["sql.url"] == (MAIL, MAIL, 0o400)
    assert owner["postgres.password"] == (999, 999, 0o400)
    assert owner["redis.conf"] == (999, 999, 0o400)
    assert owner["tls.key"] == (MAIL, MAIL, 0o440)
    assert owner["auth.key"] == (MAIL, MAIL, 0o400)
    assert owner["ca.key"] == (0, 0, 0o400)
    assert (where.mail / SENTINEL).stat().st_uid == MAIL
    assert stat.S_IMODE(where.mail.stat().st_mode) == 0o711


def test_nobody_else_reads_a_secret(where: Where) -> None:
    prepare(where)
    for path in (*where.secrets.iterdir(), where.tls / "tls.key", *where.rpc.iterdir()):
        public = path.name == FIRST_START.name or path.suffix == ".crt"
        assert bool(path.stat().st_mode & 0o004) is public, path


@as_root
def test_a_key_that_its_readers_cannot_read_is_given_to_them(where: Where) -> None:
    where.tls.mkdir()
    make_certificate(where.tls / "tls.crt", where.tls / "tls.key", ["mail.example.org"])
    assert (where.tls / "tls.key").stat().st_uid == 0
    prepare(where)
    status = (where.tls / "tls.key").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (MAIL, MAIL, 0o440)


@as_root
def test_a_mail_volume_of_root_that_is_not_empty_is_refused(where: Where) -> None:
    (where.mail / "something").write_text("")
    assert _refusal(where) == (
        f"cannot use {where.mail} as mail volume: Permission denied; it must belong to uid 5000"
    )
    assert not (where.secrets / FIRST_START.name).exists()


@as_root
def test_the_mail_volume_is_touched_as_its_owner(
    where: Where, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root has no rights on an NFS export with root_squash."""
    os.chown(where.mail, MAIL, MAIL)
    users: list[int] = []

    def watched(mail: Path) -> None:
        users.append(os.geteuid())
        create_volume(mail)

    monkeypatch.setattr("restante.cli.init.create_volume", watched)
    prepare(where)
    assert users == [MAIL]
    assert os.geteuid() == 0


# --- the mark of the mail volume ------------------------------------------------------------------


def test_a_volume_that_is_not_mounted_later_is_refused(where: Where) -> None:
    prepare(where)
    (where.mail / SENTINEL).unlink()
    (where.secrets / "admin.token").unlink()
    before = _content(where)
    code, output = _command(where)
    assert code == 1
    assert output.splitlines() == [
        f"restante: no .restante-volume in {where.mail}, where mail was kept before: is the mail"
        " volume mounted? (a new, empty one: `restante volume init`)"
    ]
    assert _content(where) == before


def test_a_mail_volume_that_is_missing_later_is_refused_too(where: Where) -> None:
    prepare(where)
    (where.mail / SENTINEL).unlink()
    where.mail.rmdir()
    assert "is the mail volume mounted?" in _refusal(where)


def test_a_volume_that_was_marked_before_the_first_start_stays(where: Where) -> None:
    (where.mail / SENTINEL).write_text("")
    before = (where.mail / SENTINEL).stat().st_mtime_ns
    assert prepare(where).first
    assert (where.mail / SENTINEL).stat().st_mtime_ns == before


def test_the_mark_of_the_first_start_comes_last(
    where: Where, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash at any write leaves what the next run completes."""
    written: list[str] = []
    limit = -1
    write = Place.write

    def stopping(self: Place, kept: Kept, data: bytes) -> None:
        if len(written) == limit:
            raise KeyboardInterrupt
        write(self, kept, data)
        written.append(kept.name)

    monkeypatch.setattr(Place, "write", stopping)
    while limit < 100:
        limit += 1
        written.clear()
        try:
            prepare(where)
        except KeyboardInterrupt:
            assert not (where.secrets / FIRST_START.name).exists()
            kept = _content(where)
            monkeypatch.setattr(Place, "write", write)
            prepare(where)
            monkeypatch.setattr(Place, "write", stopping)
            after = _content(where)
            assert {path: after[path] for path in kept} == kept
            check_volume(where.mail)
            for path in after:
                path.unlink()
        else:
            break
    assert written[-1] == FIRST_START.name
    assert limit == len(written)


def test_a_kill_in_the_middle_of_a_write_leaves_no_half_file(where: Where) -> None:
    where.secrets.mkdir()
    (where.secrets / ".auth.secret.new").write_text("hal")
    prepare(where)
    assert len((where.secrets / "auth.secret").read_text()) > 40
    assert not [path for path in _content(where) if path.name.endswith(".new")]


def test_two_at_once_make_one(where: Where) -> None:
    """The second waits for the first, and then finds everything there."""
    script = (
        "import sys; from pathlib import Path; from restante.cli.init import Where, prepare;"
        "a = [Path(p) for p in sys.argv[1:]];"
        "print(len(prepare(Where(*a, ['mail.example.org'], [])).made))"
    )
    directories = list(map(str, (where.secrets, where.tls, where.rpc, where.mail)))
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", script, *directories], stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    made = sorted(int(run.communicate(timeout=120)[0]) for run in runs)
    assert made[:2] == [0, 0]
    assert made[2] == len(_content(where))


def test_the_lock_is_waited_for(where: Where) -> None:
    where.secrets.mkdir()
    thread = threading.Thread(target=prepare, args=(where,))
    with init_files.alone(where.secrets):
        thread.start()
        assert not (where.secrets / "auth.secret").exists()
    thread.join(60)
    assert (where.secrets / FIRST_START.name).exists()


# --- certificates ---------------------------------------------------------------------------------


def _certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_the_internal_certificates_are_of_our_ca(where: Where) -> None:
    prepare(where)
    ca = _certificate(where.rpc / "ca.crt")
    for name in ("auth", "client"):
        leaf = _certificate(where.rpc / f"{name}.crt")
        leaf.verify_directly_issued_by(ca)
        key = serialization.load_pem_private_key((where.rpc / f"{name}.key").read_bytes(), None)
        assert key.public_key() == leaf.public_key()
    names = _certificate(where.rpc / "auth.crt").extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert names.value.get_values_for_type(x509.DNSName) == ["auth", "localhost"]


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Call it with days: so many have passed."""

    def pass_days(days: int) -> None:
        now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
        monkeypatch.setattr(init_pki, "_now", lambda: now)

    return pass_days


def test_leaves_are_renewed_in_time_with_their_keys(
    where: Where, later: Callable[[int], None]
) -> None:
    prepare(where)
    before = _content(where)
    later(init_pki.LEAF_DAYS - init_pki.RENEW_DAYS - 1)
    assert prepare(where).made == []
    later(init_pki.LEAF_DAYS - init_pki.RENEW_DAYS + 1)
    done = prepare(where)
    assert [path.name for path in done.made] == ["auth.crt", "client.crt"]
    changed = {path.name for path, text in _content(where).items() if before[path] != text}
    assert changed == {"auth.crt", "client.crt"}
    ca = _certificate(where.rpc / "ca.crt")
    _certificate(where.rpc / "auth.crt").verify_directly_issued_by(ca)
    assert re.fullmatch(r"\S+tls\.crt ends at \d{4}-\d\d-\d\d: renew it", done.warning)


def test_one_more_name_of_auth_makes_a_new_certificate(where: Where) -> None:
    prepare(where)
    code, output = _command(where, "--auth-name", "auth.mail.svc")
    assert code == 0
    assert output.splitlines() == [f"made {where.rpc / 'auth.crt'}", "everything is there"]
    facts = read_certificate(where.rpc / "auth.crt")
    assert facts.hosts == ("auth", "localhost", "auth.mail.svc")


def test_a_ca_of_the_operators_is_left_alone(where: Where, later: Callable[[int], None]) -> None:
    prepare(where)
    (where.rpc / "ca.key").unlink()
    before = _content(where)
    later(init_pki.LEAF_DAYS)
    assert prepare(where).made == []
    assert _content(where) == before


# --- one clear line -------------------------------------------------------------------------------


def _spoil(directory: str, name: str, text: str | None) -> Callable[[Where], None]:
    def spoil(where: Where) -> None:
        path = getattr(where, directory) / name
        path.unlink()
        if text is not None:
            path.write_text(text)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (_spoil("secrets", "auth.secret", "short\n"), "auth.secret has fewer than 16 characters"),
        (_spoil("secrets", "admin.token", "\n"), "admin.token is empty"),
        (_spoil("tls", "tls.key", None), "tls.crt is there, but its key tls.key is not"),
        (_spoil("tls", "tls.crt", "x"), "tls.crt is not a certificate in PEM"),
        (_spoil("tls", "tls.key", "x"), "tls.key is not a private key in PEM without a password"),
        (_spoil("rpc", "auth.key", None), "auth.crt is there, but its key auth.key is not"),
        (_spoil("rpc", "ca.key", "x"), "ca.key is not a private key in PEM without a password"),
    ],
)
def test_what_is_spoilt_is_named(
    where: Where, spoil: Callable[[Where], None], expected: str
) -> None:
    prepare(where)
    spoil(where)
    if expected.startswith("ca.key"):
        (where.rpc / "auth.crt").unlink()
    before = _content(where)
    assert _refusal(where).endswith(f"/{expected}")
    assert _content(where) == before


def test_a_pair_that_does_not_fit_is_named(where: Where, tmp_path: Path) -> None:
    prepare(where)
    make_certificate(tmp_path / "c", tmp_path / "k", ["other.example.org"])
    (where.tls / "tls.crt").unlink()
    (where.tls / "tls.crt").write_bytes((tmp_path / "c").read_bytes())
    assert _refusal(where).endswith("/tls.crt does not belong to the key tls.key")


def test_a_missing_leaf_of_a_foreign_ca_is_named(where: Where) -> None:
    prepare(where)
    (where.rpc / "ca.key").unlink()
    (where.rpc / "client.crt").unlink()
    expected = "/client.crt is missing, and without ca.key it cannot be made"
    assert _refusal(where).endswith(expected)


def test_a_directory_that_cannot_be_made_is_named(where: Where) -> None:
    where.tls.write_text("a file")
    assert _refusal(where) == f"cannot make {where.tls}: File exists"


def test_a_full_disk_is_named(where: Where, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    expected = f"cannot write {where.secrets / 'auth.secret'}: No space left on device"
    assert _refusal(where) == expected
    assert not (where.secrets / "auth.secret").exists()


def test_no_secret_is_shown(where: Where) -> None:
    code, output = _command(where)
    assert code == 0
    assert output.splitlines()[-1] == "first start: done"
    for kept in init_secrets.ALL:
        for line in (where.secrets / kept.name).read_text().splitlines():
            if len(line) >= 16:
                assert line not in output


def test_json(where: Where) -> None:
    code, output = _command(where, "--json")
    found = json.loads(output)
    assert code == 0
    assert found["first_start"] is True
    assert str(where.secrets / "auth.secret") in found["made"]
