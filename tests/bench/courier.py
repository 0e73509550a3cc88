"""Courier's IMAP and POP3 servers, unpacked from Debian's packages and never installed.

Its paths are compiled in, so it runs in a mount namespace of its own, where the unpacked tree lies
over /usr and /etc and an empty directory over /run. That needs root. The packages are fetched by
`apt-get download` into a cache directory.
"""

import os
import shutil
import subprocess
from pathlib import Path
from zlib import crc32

from tests.bench.mail import Plan, make_accounts
from tests.bench.peers import MissingError, free_port, mail_owner, wait_for_ports, write_userdb

PACKAGES = (
    "courier-base",
    "courier-imap",
    "courier-pop",
    "courier-authlib",
    "courier-authlib-userdb",
    "courier-authlib-mysql",
    "courier-authlib-postgresql",
    "courier-authlib-sqlite",
    "courier-authlib-ldap",
    "courier-authlib-pipe",
    "courier-authdaemon",
    "libcourier-unicode4",
    "libgamin0",
    "gamin",  # without its server each SELECT waits a second for it
    "libltdl7",
    "libgdbm6",
    "libidn2-0",
)

_SCRIPT = r"""set -e
mount --make-rprivate /
mount -t overlay overlay -o lowerdir={tree}/usr:/usr /usr
mount -t overlay overlay \
  -o lowerdir={tree}/etc:/etc,upperdir={work}/etc,workdir={work}/etc-work /etc
mount -t tmpfs tmpfs /run
mkdir -p /run/courier/authdaemon
cp {work}/userdb /etc/courier/userdb
chmod 600 /etc/courier/userdb
PATH=/usr/sbin:/usr/bin:/sbin:/bin
makeuserdb
cat > /etc/courier/authdaemonrc <<'END'
authmodulelist="authuserdb"
authmodulelistorig="authuserdb"
daemons=5
authdaemonvar=/run/courier/authdaemon
DEBUG_LOGIN=0
DEFAULTOPTIONS=""
LOGGEROPTS=""
END
set -a
. /etc/courier/authdaemonrc
/usr/lib/courier/courier-authlib/authdaemond &
. /etc/courier/imapd
. /etc/courier/pop3d
IMAP_CHECK_ALL_FOLDERS=0
IMAP_USELOCKS=1
TCPDOPTS="-nodnslookup -noidentlookup"
lib=/usr/lib/courier/courier
couriertcpd -address=127.0.0.1 -maxprocs=12000 -maxperip=12000 -nodnslookup -noidentlookup \
  {imap} $lib/imaplogin /usr/bin/imapd Maildir &
couriertcpd -address=127.0.0.1 -maxprocs=12000 -maxperip=12000 -nodnslookup -noidentlookup \
  {pop3} $lib/courierpop3login $lib/courierpop3d Maildir &
wait
"""


class Courier:
    """Debian's courier-imap and courier-pop."""

    name = "courier"

    def __init__(self, work: Path, seed: Path, plan: Plan, cache: Path) -> None:
        if os.geteuid() != 0:
            raise MissingError("courier needs root, for a mount namespace")
        tree = unpack(cache)
        self.work = work / self.name
        for name in ("etc", "etc-work"):
            (self.work / name).mkdir(parents=True)
        self.homes = make_accounts(self.work / "mail", seed, plan, mail_owner())
        write_userdb(self.work / "userdb", self.homes)
        self.ports = {name: free_port() for name in ("pop3", "imap")}
        self.log = self.work / "log"
        self.script = self.work / "start.sh"
        self.script.write_text(_SCRIPT.format(tree=tree, work=self.work, **self.ports))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start authdaemond and two couriertcpd in the namespace."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                # The namespace's first process takes the others with it when it ends.
                ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", str(self.script)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for_ports(self.name, self.ports, self.log)

    def stop(self) -> None:
        """Kill the namespace's first process, and with it all others."""
        if self.process is not None:
            self.process.kill()  # unshare ignores SIGTERM
            self.process.wait(30)

    def roots(self) -> list[int]:
        """The namespace's first process."""
        assert self.process is not None
        return [self.process.pid]


def unpack(cache: Path) -> Path:
    """Fetch and unpack the packages, once; return the tree. Raises MissingError."""
    tree = cache / f"courier-{crc32(' '.join(PACKAGES).encode()):08x}"
    if (tree / "usr/bin/imapd").exists():
        return tree
    downloads = cache / "debs"
    shutil.rmtree(tree, ignore_errors=True)
    downloads.mkdir(parents=True, exist_ok=True)
    fetched = subprocess.run(
        ["apt-get", "-o", "APT::Sandbox::User=root", "download", *PACKAGES],
        cwd=downloads,
        capture_output=True,
        text=True,
        check=False,
    )
    if fetched.returncode:
        raise MissingError(f"courier's packages cannot be fetched: {fetched.stderr.strip()[-300:]}")
    building = cache / "courier.new"
    shutil.rmtree(building, ignore_errors=True)
    for package in sorted(downloads.glob("*.deb")):
        subprocess.run(["dpkg", "-x", str(package), str(building)], check=True)
    building.rename(tree)
    return tree
