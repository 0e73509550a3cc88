"""Exim's ways to our accounts: lookups in makeuserdb's files, and authdaemond's socket."""

import pwd
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from restante.userdb.make import BERKELEY, CDB, GDBM, make
from tests.contract.exim import Exim, exim_below_tmp
from tests.services.auth.process import auth_process

pytestmark = pytest.mark.slow

MESSAGE = b"From: bob@x.test\nTo: fred@example.test\nSubject: hello\n\nHello.\n"

# What ${extract} is to find must be quoted: names have blanks.
LOOKUP = r"""
userdb:
  driver = accept
  domains = +local_domains
  address_data = ${lookup{$local_part@$domain}KIND{FILE}\
    {${sg{|$value}{\N\|([^=|]*)=([^|]*)\N}{\$1="\$2" }}}fail}
  transport = maildir
"""
FROM_USERDB = """\
  directory = ${extract{mail}{$address_data}{$value}fail}
  user = ${extract{uid}{$address_data}}
  group = ${extract{gid}{$address_data}}
"""


@pytest.fixture
def exim() -> Iterator[Exim]:
    with exim_below_tmp() as found:
        yield found


def owner() -> tuple[int, int]:
    """Return who delivers: exim with a configuration of ours cannot become another user."""
    entry = pwd.getpwnam("Debian-exim")
    return entry.pw_uid, entry.pw_gid


def home(exim: Exim) -> Path:
    path = exim.top / "fred"
    path.mkdir()
    shutil.chown(path, *owner())
    return path


def userdb(exim: Exim, fred: Path) -> Path:
    uid, gid = owner()
    top = exim.top / "userdb"
    top.touch(0o600)
    others = "".join(
        f"u{n}@example.test\tuid=1|gid=1|home=/h/{n}|mail=/h/{n}\n" for n in range(500)
    )
    top.write_text(
        f"fred@example.test\tuid={uid}|gid={gid}|home={fred}|gecos=Fred F, room 1"
        f"|mail={fred}/Maildir|systempw=x\n{uid}=\tfred@example.test\n{others}"
    )
    make(top, (GDBM, BERKELEY, CDB))
    return top


@pytest.mark.parametrize(("kind", "suffix"), [("dbmnz", ".db"), ("cdb", ".cdb")])
def test_lookups(exim: Exim, kind: str, suffix: str) -> None:
    fred = home(exim)
    top = userdb(exim, fred)
    file = top.with_name(f"userdb{suffix}")
    exim.configure(LOOKUP, FROM_USERDB, macros=f"KIND = {kind}\nFILE = {file}\n")
    for name in ("fred", "u0", "u499"):
        code, said = exim.route(f"{name}@example.test")
        assert (code, "router = userdb, transport = maildir" in said) == (0, True), said
    assert exim.route("nobody@example.test")[0] == 2
    assert exim.route("fred@elsewhere.test")[0] == 2
    log = exim.deliver("fred@example.test", MESSAGE)
    assert "=> fred <fred@example.test> R=userdb T=maildir" in log, log
    (stored,) = (fred / "Maildir/new").iterdir()
    assert b"\nSubject: hello\n" in stored.read_bytes()
    assert (stored.stat().st_uid, stored.stat().st_gid) == owner()

    # A new file under a running exim; and none at all is no bounce.
    top.write_text("ann@example.test\tuid=1|gid=1|home=/h/ann\n")
    make(top, (GDBM, BERKELEY, CDB))
    assert exim.route("ann@example.test")[0] == 0
    assert exim.route("fred@example.test")[0] == 2
    file.unlink()
    assert exim.route("ann@example.test")[0] == 1


@pytest.mark.parametrize(("kind", "suffix"), [("dbmnz", ".db"), ("cdb", ".cdb")])
def test_passwords_are_not_in_what_exim_reads(exim: Exim, kind: str, suffix: str) -> None:
    top = userdb(exim, home(exim))
    exim.configure("", "  file = /dev/null")
    for name, wanted in (("userdb", "no"), ("userdbshadow", "yes")):
        file = top.with_name(name + suffix)
        found = exim.expand(
            "${if match{${lookup{fred@example.test}%s{%s}}}{systempw=}{yes}{no}}" % (kind, file)  # noqa: UP031
        )
        assert found == wanted
        assert b"systempw" not in file.read_bytes() or name == "userdbshadow"
        assert file.stat().st_mode & 0o077 == (0o044 if name == "userdb" else 0)


# A whole answer is an account, FAIL is "no such address" (a forced failure: the router declines),
# anything else an error of the expansion, so that exim tries again later. Not by `set`: where that
# cannot be expanded, `exim -bt` says that mail is discarded.
READSOCKET = r"""
account:
  driver = accept
  domains = +local_domains
  address_data = ${if match{ASK}{\N(?s)^(.+)\n\.\n$\N}\
    {${sg{$1}{\N(?m)^(\w+)=(.*)$\N}{\$1="\$2"}}}\
    {${if !eq{ASK}{FAIL\n}{${eval:no answer from auth}}fail}}}
  transport = maildir
"""
FROM_SOCKET = """\
  directory = ${extract{MAILDIR}{$address_data}{$value}fail}
  user = ${extract{UID}{$address_data}}
  group = ${extract{GID}{$address_data}}
"""


def test_readsocket(exim: Exim) -> None:
    fred = home(exim)
    top = userdb(exim, fred)
    data, socket = exim.top / "data", exim.top / "socket"
    data.mkdir()
    ask = "${readsocket{%s}{PRE . smtp $local_part@$domain\\n}{5s}}" % socket  # noqa: UP031
    exim.configure(READSOCKET, FROM_SOCKET, macros=f"ASK = {ask}\n")
    settings = {
        "RESTANTE_AUTH_MODULES": "userdb",
        "RESTANTE_AUTH_USERDB_INDEX": str(top.with_name("userdb.dat")),
        "RESTANTE_AUTH_AUTHDAEMON_LISTEN": f"unix:{socket}",
    }
    assert exim.route("fred@example.test")[0] == 1  # auth is not there yet
    with auth_process(data, **settings):
        code, said = exim.route("fred@example.test")
        assert (code, "router = account, transport = maildir" in said) == (0, True), said
        assert exim.route("nobody@example.test")[0] == 2
        log = exim.deliver("fred@example.test", MESSAGE)
        assert "=> fred <fred@example.test> R=account T=maildir" in log, log
        (stored,) = (fred / "Maildir/new").iterdir()
        assert (stored.stat().st_uid, stored.stat().st_gid) == owner()
        top.with_name("userdbshadow.dat").chmod(0o644)  # a fault of the module: no bounce
        for name in ("fred", "nobody"):
            assert exim.route(f"{name}@example.test")[0] == 1
        top.with_name("userdbshadow.dat").chmod(0o600)
        assert exim.route("fred@example.test")[0] == 0
    assert exim.route("fred@example.test")[0] == 1  # a socket that nobody serves
    log = exim.deliver("fred@example.test", MESSAGE)
    assert "== fred@example.test R=account defer (-1)" in log, log
    assert len(list((fred / "Maildir/new").iterdir())) == 1
