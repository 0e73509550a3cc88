"""Account options: our IMAP and POP3 say and do what Debian's Courier does with the same account.

Both ask the same auth service, Courier over the authdaemond socket.
"""

import asyncio
import contextlib
import os
import pwd
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from restante.runtime.limits import SharedCounts
from restante.runtime.log import get_logger
from restante.runtime.settings import ListenAddress
from restante.runtime.worker import WorkerContext
from restante.store.volume import create_volume
from restante.userdb import edit
from services.imap.service import ImapService
from services.imap.settings import ImapSettings
from services.pop3.login_delay import LoginTimes
from services.pop3.service import Pop3Service
from services.pop3.settings import Pop3Settings
from tests.bench.peers import free_port
from tests.contract.courier import CourierRoom, courier_room
from tests.services.auth.process import auth_process

pytestmark = pytest.mark.slow

# POP3 is off by default here: what turns it on again must do so for both.
DEFAULTS = "disablepop3=1,group=all"
OPTIONS = [
    "",
    "disableimap=1",
    "disableimap=0",
    "disableimap",
    "disableimap=",
    "disableimap=t",
    "disableimap=True",
    "disableimap=y",
    "disableimap=Yes",
    "disableimap=no",
    "disableimap=2",
    "disableimap=01",
    "disableimap=0x",
    "disableimap=-1",
    "disableimap=0,disableimap=1",
    "disableimap=1,disableimap=0",
    "group=staff,disableimap=1",
    "xdisableimap=1",
    "disableimapx=1",
    "disablepop3=0",
    "disablepop3",
    "disablepop3=n",
    "disablepop3=f",
    "disablepop3=1",
    "disableinsecureimap=1",
    "disablepop3=0,disableinsecurepop3=1",
    "disablepop3=0,disableinsecurepop3=0",
    "disablepop3=0,disableinsecurepop3=yes",
    "disableimap=1,disableinsecureimap=1",
    "disableshared=1",
    "disablewebmail=1",
    "wbnochangepass=1,wbnodsn=1,wbusexsender=1",
]

_SERVERS = """\
set -a
. /etc/courier/imapd
. /etc/courier/pop3d
lib=/usr/lib/courier/courier
tcpd="couriertcpd -address=127.0.0.1 -maxprocs=90 -maxperip=90 -nodnslookup -noidentlookup"
$tcpd {imap} $lib/imaplogin /usr/bin/imapd Maildir &
$tcpd {pop3} $lib/courierpop3login $lib/courierpop3d Maildir &
wait
"""


@dataclass
class Ports:
    imap: int
    pop3: int


@pytest.fixture(scope="module")
def room() -> Iterator[CourierRoom]:
    with courier_room() as made:
        yield made


def make_accounts(room: CourierRoom, root: Path) -> Path:
    users, owner = room.work / "accounts", pwd.getpwnam("nobody")
    create_volume(root)
    for number, options in enumerate(OPTIONS):
        home = root / f"u{number}"
        for name in ("tmp", "new", "cur"):
            (home / "Maildir" / name).mkdir(parents=True)
        for path in (home, *home.rglob("*")):
            os.chown(path, owner.pw_uid, owner.pw_gid)
        fields = {
            "home": str(home),
            "uid": str(owner.pw_uid),
            "gid": str(owner.pw_gid),
            "mail": f"{home}/Maildir",
            "systempw": "{PLAIN}secret",
            **({"options": options} if options else {}),
        }
        edit.set_fields(users, f"u{number}", fields)
    return users


async def say(port: int, *lines: bytes) -> bytes:
    """Send lines one by one; return what refuses the last one, or "in"."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    heard: list[bytes] = []
    async with asyncio.timeout(30):
        await reader.readline()
        # Courier's IMAP says OK before it says BYE and hangs up.
        with contextlib.suppress(ConnectionError):
            for line in (*lines, b"NOOP" if lines[0].startswith(b"USER") else b"z NOOP"):
                writer.write(line + b"\r\n")
                await writer.drain()
                heard.append(await reader.readline())
                while heard[-1].startswith(b"* "):
                    heard.append(await reader.readline())
    writer.close()
    refusals = [line for line in heard if line.startswith((b"* BYE", b"-ERR"))]
    return refusals[0].rstrip() if refusals else b"in"


async def outcomes(ports: Ports) -> dict[str, tuple[bytes, bytes]]:
    """Return what IMAP and POP3 say to each account."""
    found = {}
    for number, options in enumerate(OPTIONS):
        user = b"u%d" % number
        found[options] = (
            await say(ports.imap, b"a LOGIN " + user + b" secret"),
            await say(ports.pop3, b"USER " + user, b"PASS secret"),
        )
    return found


def worker(kind: Any, settings_class: Any, data: Path, root: Path) -> Any:
    settings = settings_class(
        data=data,
        mail_root=root,
        listen=ListenAddress("127.0.0.1", 0),
        tls_listen=ListenAddress(),
        drain_seconds=1,
    )
    context = WorkerContext("x", settings, 0, SharedCounts(), get_logger("x"))
    return kind(context)


async def test_options_mean_what_they_mean_to_courier(room: CourierRoom) -> None:
    data, root = room.work / "data", room.work / "mail"
    data.mkdir(mode=0o700)
    theirs = Ports(free_port(), free_port())
    room.start(_SERVERS.format(imap=theirs.imap, pop3=theirs.pop3))
    room.wait_for(port=theirs.imap)
    room.wait_for(port=theirs.pop3)
    settings = {
        "RESTANTE_AUTH_MODULES": "userdb",
        "RESTANTE_AUTH_USERDB": str(make_accounts(room, root)),
        "RESTANTE_AUTH_DEFAULT_OPTIONS": DEFAULTS,
        "RESTANTE_AUTH_AUTHDAEMON_LISTEN": f"unix:{room.socket}",
    }
    with auth_process(data, **settings):
        async with AsyncExitStack() as stack:
            imap = worker(ImapService, ImapSettings, data, root)
            pop3 = worker(lambda c: Pop3Service(c, LoginTimes(0)), Pop3Settings, data, root)
            for service in (imap, pop3):
                await service.start()
                stack.push_async_callback(service.drain)
            ours = Ports(*(s.doors.listeners[0].address.port for s in (imap, pop3)))
            said, expected = await outcomes(ours), await outcomes(theirs)
    assert said == expected
    # And that the oracle told something:
    assert expected["disableimap=1"][0] == b"* BYE IMAP access disabled for this account."
    assert expected["disablepop3=0"] == (b"in", b"in")
    assert expected["disableinsecureimap=1"][0] == (
        b"* BYE IMAP access disabled via insecure connection."
    )
