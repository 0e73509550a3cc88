"""A slapd of our own from Debian's packages: private directory, loopback, an ordinary user."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.certificates import Authority

SUFFIX = "o=isp"
ADMIN = f"cn=mail,{SUFFIX}"
ADMIN_PASSWORD = "ad min"

# The attributes that Courier's module reads, under names of our own.
_SCHEMA = "\n".join(
    [
        f"attributetype ( 1.3.6.1.4.1.4203.666.7.{number} NAME '{name}'"
        f" EQUALITY {rule} SYNTAX 1.3.6.1.4.1.1466.115.121.1.26 )"
        for number, (name, rule) in enumerate(
            (
                ("mailbox", "caseExactIA5Match"),
                ("quota", "caseExactIA5Match"),
                ("clearPassword", "caseExactIA5Match"),
                ("disableImap", "caseExactIA5Match"),
                ("sharedGroup", "caseExactIA5Match"),
                ("handle", "caseIgnoreIA5Match"),
            ),
            1,
        )
    ]
    + [
        "objectclass ( 1.3.6.1.4.1.4203.666.7.20 NAME 'mailUser' SUP top AUXILIARY"
        " MUST ( mail $ homeDirectory ) MAY ( uidNumber $ gidNumber $ mailbox $ quota $ uid $ cn"
        " $ userPassword $ clearPassword $ disableImap $ sharedGroup $ handle ) )"
    ]
)

_CONFIG = """\
modulepath /usr/lib/ldap
moduleload back_mdb
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
include /etc/ldap/schema/inetorgperson.schema
include {top}/mail.schema
pidfile {top}/pid
allow bind_anon_cred bind_anon_dn
sizelimit 500
{tls}
access to attrs=userPassword,clearPassword
  by dn.exact="{admin}" write
  by self write
  by anonymous auth
access to *
  by dn.exact="{admin}" write
  by * read
database mdb
directory {top}/db
maxsize 268435456
suffix "{suffix}"
rootdn "cn=root,{suffix}"
rootpw root
limits dn.exact="{admin}" size.prtotal=unlimited
index objectClass,mail eq
dbnosync
"""

_TREE = f"""\
dn: {SUFFIX}
objectClass: organization
o: isp

dn: {ADMIN}
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: mail
userPassword: {ADMIN_PASSWORD}

dn: ou=people,{SUFFIX}
objectClass: organizationalUnit
ou: people

"""


@dataclass(frozen=True, slots=True)
class Program:
    slapd: str
    slapadd: str


def find_program() -> Program | None:
    found = [
        shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/libexec")
        for name in ("slapd", "slapadd")
    ]
    return Program(found[0], found[1]) if found[0] and found[1] else None


def person(name: str, **attributes: str | list[str]) -> str:
    """Return the LDIF of a mail user; keywords replace or add attributes, "" leaves one out."""
    fields: dict[str, str | list[str]] = {
        "mail": f"{name}@isp.test",
        "sn": name,
        "cn": name.title(),
        "homeDirectory": f"/mail/{name}",
        "uidNumber": "2000",
        "gidNumber": "2001",
        **attributes,
    }
    lines = [f"dn: uid={name},ou=people,{SUFFIX}", f"uid: {name}"]
    lines += [f"objectClass: {c}" for c in ("inetOrgPerson", "mailUser")]
    for key, values in fields.items():
        for value in [values] if isinstance(values, str) else values:
            if value:
                lines.append(f"{key}: {value}")
    return "\n".join(lines) + "\n\n"


class Slapd:
    """A server that can be stopped, killed, hung and started again, always on the same port."""

    def __init__(self, program: Program, top: Path, user: str | None, tls: bool) -> None:
        self._program, self._top, self._user = program, top, user
        self._process: subprocess.Popen[bytes] | None = None
        self.port, self.tls_port = free_port(), free_port() if tls else 0
        self.authority = Authority(top / "tls") if tls else None

    @property
    def uri(self) -> str:
        return f"ldap://127.0.0.1:{self.port}"

    @property
    def ldaps(self) -> str:
        return f"ldaps://localhost:{self.tls_port}"

    @property
    def ldapi(self) -> str:
        return "ldapi://" + str(self._top / "sock").replace("/", "%2F")

    def create(self, extra: str, names: tuple[str, ...]) -> None:
        """Write configuration and an empty tree with the organisation in it."""
        top = self._top
        (top / "db").mkdir()
        (top / "mail.schema").write_text(_SCHEMA + "\n")
        tls = ""
        if self.authority is not None:
            certificate, key = self.authority.issue(*names)
            tls = (
                f"TLSCACertificateFile {self.authority.certificate}\n"
                f"TLSCertificateFile {certificate}\nTLSCertificateKeyFile {key}\n{extra}"
            )
        text = _CONFIG.format(top=top, tls=tls, admin=ADMIN, suffix=SUFFIX)
        (top / "slapd.conf").write_text(textwrap.dedent(text))
        for path in (top, *top.rglob("*")):
            if self._user:
                shutil.chown(path, self._user)
        self.load(_TREE)

    def load(self, ldif: str) -> None:
        """Add entries while the server is down."""
        done = subprocess.run(
            [self._program.slapadd, "-q", "-f", self._top / "slapd.conf"],
            input=ldif.encode(),
            check=False,
            capture_output=True,
            user=self._user,
            cwd="/",
        )
        assert done.returncode == 0, done.stderr

    def add(self, ldif: str) -> None:
        """Add entries while the server runs, in the place of those that have their names."""
        names = [line[4:] for line in ldif.splitlines() if line.startswith("dn: ")]
        self._tool("ldapdelete", "\n".join((*reversed(names), "")), "-M", "-c", check=False)
        self._tool("ldapadd", ldif, "-M")

    def modify(self, ldif: str) -> None:
        """Change entries while the server runs."""
        self._tool("ldapmodify", ldif)

    def value(self, name: str, attribute: str) -> str:
        """Return an attribute of a person, as root sees it."""
        done = self._tool(
            "ldapsearch",
            "",
            "-LLL",
            "-o",
            "ldif-wrap=no",
            "-b",
            f"uid={name},ou=people,{SUFFIX}",
            "-s",
            "base",
            attribute,
        )
        for line in done.splitlines():
            if line.startswith(f"{attribute}: "):
                return line.partition(": ")[2]
            if line.startswith(f"{attribute}:: "):
                import base64

                return base64.b64decode(line.partition(":: ")[2]).decode()
        return ""

    def start(self) -> None:
        urls = [f"ldap://127.0.0.1:{self.port}/", self.ldapi]
        if self.tls_port:
            urls.append(f"ldaps://127.0.0.1:{self.tls_port}/")
        self._process = subprocess.Popen(
            [self._program.slapd, "-d", "0", "-f", self._top / "slapd.conf", "-h", " ".join(urls)],
            user=self._user,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
        )
        deadline = time.monotonic() + 30
        while not _answers(self.port):
            assert self._process.poll() is None, "slapd did not start"
            assert time.monotonic() < deadline
            try:
                self._process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End the server: SIGTERM in order, SIGKILL as a crash."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(how)
            self._process.wait(20)
            self._process = None

    @contextmanager
    def hung(self) -> Iterator[None]:
        """Let the server accept connections and answer nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)  # only now does it answer nothing
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def _tool(self, name: str, text: str, *words: str, check: bool = True) -> str:
        done = subprocess.run(
            [name, "-x", "-H", self.uri, "-D", f"cn=root,{SUFFIX}", "-w", "root", *words],
            input=text.encode(),
            capture_output=True,
            check=False,
            timeout=30,
        )
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout.decode()


@contextmanager
def running_slapd(
    ldif: str = "",
    *,
    tls: bool = False,
    extra: str = "",
    names: tuple[str, ...] = ("localhost", "127.0.0.1"),
) -> Iterator[Slapd]:
    """Give a server with these entries, or skip the test where Debian's slapd is not installed."""
    program = find_program()
    if program is None or shutil.which("ldapmodify") is None:
        pytest.skip("slapd and ldap-utils are not installed")
    user = None
    with tempfile.TemporaryDirectory(prefix="ldap") as name:
        if os.geteuid() == 0:
            user = _ordinary_user()
        server = Slapd(program, Path(name), user, tls)
        server.create(extra, names)
        if ldif:
            server.load(ldif)
        server.start()
        try:
            yield server
        finally:
            server.stop(signal.SIGKILL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False


def _ordinary_user() -> str:
    for name in ("openldap", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    pytest.skip("no ordinary user to run slapd as")
