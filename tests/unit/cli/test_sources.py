"""What is read of a userdb, a passwd-file of Dovecot, a CSV; and what is left out, and why."""

from pathlib import Path

import pytest

from restante.cli import sources
from restante.cli.sources import Found
from restante.model import ErrorKind, MailError


def read(kind: str, path: Path, text: str) -> list[Found]:
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    path.chmod(0o600)
    return list(sources.READERS[kind](path))


def one(kind: str, path: Path, line: str) -> Found:
    found = read(kind, path, line + "\n")
    assert len(found) == 1
    return found[0]


def test_userdb(tmp_path: Path) -> None:
    path = tmp_path / "userdb"
    text = (
        "# comment\n\n"
        "fred@x.test\thome=/srv/fred|uid=1000|gid=1001|mail=/srv/fred/Maildir|quota=5S,6C"
        "|systempw=$1$a$b|imappw=z|hmac-md5pw=00|gecos=Fred Foo, Room 5"
        "|options=disableimap=1,group=staff\n"
        "ann\thome=/srv/ann|uid=1|gid=2|mail=box\n"
        "bad\tuid=1|gid=2\n"
        "worse\thome=/srv/x|uid=-1|gid=2\n"
        "1000=\tfred@x.test\n"
        "alone\n"
    )
    fred, ann, bad, worse, reverse, alone = read("userdb", path, text)
    assert (fred.address, fred.uid, fred.gid) == ("fred@x.test", 1000, 1001)
    assert (fred.home, fred.maildir) == ("/srv/fred", "/srv/fred/Maildir")
    assert (fred.name, fred.quota) == ("Fred Foo", "5S,6C")
    assert (fred.options, fred.password_hash) == ("disableimap=1,group=staff", "$1$a$b")
    assert fred.notes == ["hmac-md5pw, imappw not kept"]
    assert fred.place == f"{path}:3"
    assert "$1$a$b" not in repr(fred)
    assert (ann.maildir, ann.password_hash, ann.skip) == ("/srv/ann/box", "", "")
    assert bad.skip == "bad: without home"
    assert worse.skip == "worse: uid '-1' is no number"
    assert reverse.skip == alone.skip == "not an account"


def test_a_directory_of_userdb(tmp_path: Path) -> None:
    top = tmp_path / "userdb"
    (top / "sub").mkdir(parents=True)
    for name in ("a", "sub/b", ".hidden"):
        (top / name).write_text(f"{name}\thome=/x|uid=1|gid=2\n")
    assert [found.address for found in sources.userdb(top)] == ["a", "sub/b"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "u:{SHA}x:5:6:Gecos, y:/srv/u::",
            {"uid": 5, "gid": 6, "home": "/srv/u", "name": "Gecos", "password_hash": "{SHA}x"},
        ),
        ("u:{SHA}x", {"uid": 0, "gid": 0, "home": "", "maildir": ""}),
        ("u:x:root:root::/r", {"uid": 0, "gid": 0}),
        (
            "u:x:5:6::/srv/u::userdb_mail=maildir:~/mail:INBOX=/x",
            {"maildir": "/srv/u/mail"},
        ),
        ("u:x:5:6::/srv/u::userdb_mail=maildir:/m/u", {"maildir": "/m/u"}),
        ("u:x:5:6::/srv/u::userdb_quota_rule=*:storage=1G:messages=7", {"quota": "1073741824S,7C"}),
        ("u:x:5:6::/srv/u::userdb_quota_rule=*:storage=10", {"quota": "10240S"}),
        ("u:x:5:6::/srv/u::userdb_quota_rule=*:bytes=10M", {"quota": "10485760S"}),
        ("u:x:5:6::/srv/u::userdb_quota_storage_size=2G", {"quota": "2147483648S"}),
        ("u:x:5:6::/srv/u::nologin", {"disabled": True}),
        ("u:x:5:6::/srv/u::allow_nets=10.0.0.0/8 x=y", {"notes": ["allow_nets not kept"]}),
        ("u:x:5:6::/srv/u::userdb_mail=mbox:~/m", {"skip": "mbox"}),
        ("u:x:5:6::/srv/u::userdb_mail=maildir:/m/%u", {"skip": "Maildir path"}),
        ("u:x:5:6::/srv/u::userdb_quota_rule=*:bytes=lots", {"skip": "lots"}),
        ("u:x:nobody-has-this-name:6::/srv/u", {"skip": "no user or group"}),
        ("u", {"skip": "not a line"}),
        (":x:1:2", {"skip": "not a line"}),
    ],
)
def test_dovecot(tmp_path: Path, line: str, expected: dict[str, object]) -> None:
    found = one("dovecot", tmp_path / "passwd", line)
    for name, value in expected.items():
        if name == "skip":
            assert str(value) in found.skip
        else:
            assert getattr(found, name) == value


def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    text = (
        "\ufeffAddress,name,quota,home,maildir,disabled,uid,password_hash\r\n"
        'fred@x.test,"Foo, Fred",5S,/srv/fred,box,yes,7,$6$x\r\n'
        "\r\n"
        "ann@x.test\r\n"
        ",nobody\r\n"
        "joe@x.test,a,b,c,d,maybe,1,x\r\n"
        "sue@x.test,a,b,c,d,no,x,x\r\n"
        "bob@x.test,a,b,c,d,no,1,x,more\r\n"
    )
    fred, ann, empty, joe, sue, bob = read("csv", path, text)
    assert (fred.name, fred.maildir, fred.disabled, fred.uid) == (
        "Foo, Fred",
        "/srv/fred/box",
        True,
        7,
    )
    assert fred.place == f"{path}:2"
    assert (ann.address, ann.home, ann.skip) == ("ann@x.test", "", "")
    assert empty.skip == "without an address"
    assert "yes or no" in joe.skip
    assert "no number" in sue.skip
    assert bob.skip == "more fields than the heading has"


@pytest.mark.parametrize(
    "heading", ["", "name", "address,address", "address,shoe", "address,password"]
)
def test_a_wrong_heading(tmp_path: Path, heading: str) -> None:
    with pytest.raises(MailError) as caught:
        read("csv", tmp_path / "a.csv", heading + "\nx\n")
    assert caught.value.kind is ErrorKind.BAD_REQUEST
    assert ":1: " in caught.value.text


def test_a_home_that_is_no_text_is_not_changed_silently(tmp_path: Path) -> None:
    line = "u\thome=/srv/f\udce9|uid=1|gid=2"
    assert one("userdb", tmp_path / "userdb", line).skip == "u: its home is not UTF-8"
