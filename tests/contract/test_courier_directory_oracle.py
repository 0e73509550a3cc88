"""Debian's authdaemond and ours on one LDAP directory, and on one authpipe program.

Not compared: PASSWD2, which we never give away, nor PASSWD of an entry that has both; names that
are aliases (ADDRESS is the owner's with us, what was typed with Courier); homes in Courier's list,
which forgets LDAP_MAILROOT there.
"""

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from restante.runtime.settings import ListenAddress
from tests.contract.courier import CourierRoom, authdaemond, courier_room
from tests.contract.slapd import SUFFIX, Slapd, person, running_slapd
from tests.contract.test_courier_sql_oracle import Both, _ask
from tests.contract.test_ldap import SECRET, rc
from tests.contract.test_pipe_module import AUTHPROG
from tests.services.auth.conftest import make_settings, serving

pytestmark = pytest.mark.slow

PEOPLE = "".join(
    (
        person("fred", userPassword=SECRET, quota="1000S,5C", cn="Fred F, room 1"),
        person("clear", clearPassword="in clear", userPassword=SECRET),
        person("hidden", clearPassword="wilma"),
        person("opts", disableImap="1", sharedGroup="a"),
        person("boxed", mailbox="Box"),
        person("elsewhere", mailbox="/srv/box", homeDirectory="relative"),
        person("rooty", uidNumber="0"),
        person("star", mail="*@isp.test", homeDirectory="/mail/star"),
        person("mapped", mail="h7@isp.test", handle="mapped@isp.test"),
        person("weak", userPassword="{CRYPT}rl.3StKT.4T8M"),  # "rasmuslerdorf", DES
    )
)
USERS = tuple(
    f"{name}@isp.test"
    for name in ("fred", "hidden", "opts", "boxed", "star", "f*", "nobody", "weak")
)


@pytest.fixture(scope="module")
def slapd() -> Iterator[Slapd]:
    with running_slapd(PEOPLE) as server:
        yield server


@pytest.fixture
def room() -> Iterator[CourierRoom]:
    with courier_room() as found:
        yield found


Start = Callable[..., Awaitable[Both]]


async def only(path: Path, request: str) -> bytes:
    return await _ask(path, request.encode())


@pytest.fixture
async def start(room: CourierRoom) -> AsyncIterator[Start]:
    async with AsyncExitStack() as stack:

        async def run(module: str, **settings: Any) -> Both:
            room.start(authdaemond(module))
            room.wait_for(room.socket)
            data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rst")))
            socket = data / "d"
            made = make_settings(
                data,
                modules=(module,),
                authdaemon_listen=ListenAddress(path=str(socket)),
                authdaemon_passwords=True,
                **settings,
            )
            await stack.enter_async_context(serving(made))
            return Both(room, socket)

        yield run


@pytest.fixture
def ldap(room: CourierRoom, start: Start, slapd: Slapd) -> Start:
    """Start both on an authldaprc with these lines changed."""

    async def run(extra: str = "", **changes: str | None) -> Both:
        path = room.config / "authldaprc"
        path.write_text(rc(slapd.uri, **changes) + extra)
        path.chmod(0o640)
        return await start("ldap", ldaprc=path)

    return run


async def test_look_ups(ldap: Start) -> None:
    both = await ldap(
        extra="LDAP_MAIL\tuid\n",  # the first line of a name counts
        ENUMERATE_FILTER="(!(|(uid=elsewhere)(uid=rooty)))",
    )
    for user in USERS:
        await both.agree(f"PRE . imap {user}\n".encode())
    theirs, ours = await both.ask(b"PRE . imap *@isp.test\n")
    assert rb"ADDRESS=\2a@isp.test" in theirs  # an escape that was left behind
    assert b"ADDRESS=*@isp.test" in ours
    assert await both.same_list() == len(PEOPLE.split("dn: ")) - 3  # neither rooty nor elsewhere
    for user, password, fits in (
        ("fred@isp.test", "secret", True),
        ("fred@isp.test", "wrong", False),
        ("clear@isp.test", "in clear", True),
        ("clear@isp.test", "secret", False),  # the clear one counts
        ("hidden@isp.test", "wilma", True),
        ("weak@isp.test", "rasmuslerdorf", True),
        ("opts@isp.test", "", False),
        ("*@isp.test", "secret", False),
    ):
        assert await both.login(user, password) == [fits, fits], user


async def test_the_root_of_mail(ldap: Start) -> None:
    both = await ldap(MAILROOT="/var/mail")
    for user in ("fred@isp.test", "elsewhere@isp.test"):
        theirs, ours = await both.ask(f"PRE . imap {user}\n".encode())
        assert [path.replace(b"//", b"/") for path in _homes(theirs)] == _homes(ours)


def _homes(answer: bytes) -> list[bytes]:
    return [line for line in answer.split(b"\n") if line.startswith(b"HOME=")]


async def test_a_domain_and_ids_for_everybody(ldap: Start) -> None:
    both = await ldap(
        DOMAIN="isp.test", UID=None, GID=None, GLOB_UID="33", GLOB_GID="33", FULLNAME=None
    )
    theirs, ours = await both.ask(b"PRE . imap fred\n")
    common = {b"UID=33", b"GID=33", b"HOME=/mail/fred"}
    # To us there is one name for one account.
    assert set(theirs.split(b"\n")) >= {*common, b"ADDRESS=fred"}
    assert set(ours.split(b"\n")) >= {*common, b"ADDRESS=fred@isp.test"}
    await both.agree(b"PRE . imap opts@isp.test\n")


async def test_handles(ldap: Start) -> None:
    both = await ldap(
        EMAILMAP="(&(handle=@user@\\40@realm@)(objectClass=mailUser))",
        EMAILMAP_BASEDN=f"ou=people,{SUFFIX}",
        EMAILMAP_ATTRIBUTE="uid",
        EMAILMAP_MAIL="uid",
    )
    for user in ("mapped@isp.test", "fred@isp.test", "*@isp.test"):
        await both.agree(f"PRE . imap {user}\n".encode())


@pytest.mark.parametrize("bind", ["0", "1"])
async def test_whoever_changes_a_password_the_other_can_read_it(
    ldap: Start, slapd: Slapd, bind: str
) -> None:
    slapd.add(person("changed", userPassword=SECRET))
    both = await ldap(AUTHBIND=bind)
    user = "changed@isp.test"
    assert await both.login(user, "secret") == [True, True]
    await both.ask(b"PRE . imap nobody@isp.test\n")
    theirs, ours = both.sockets
    assert await only(theirs, f"PASSWD imap\t{user}\tsecret\tfrom courier 1\n") == b"OK\n"
    assert await both.login(user, "from courier 1") == [True, True]
    assert await both.login(user, "secret") == [False, False]
    assert await only(ours, f"PASSWD imap\t{user}\tfrom courier 1\tby us 22x!\n") == b"OK\n"
    assert await both.login(user, "by us 22x!") == [True, True]
    assert await both.login(user, "from courier 1") == [False, False]


async def test_an_authpipe_program(room: CourierRoom, start: Start, tmp_path: Path) -> None:
    program = room.config / "authProg"
    text = AUTHPROG.replace('assert words[1:3] == [".", "login"], words', "pass")
    program.write_text("#!/usr/bin/python3\n" + text)
    program.chmod(0o755)
    both = await start("pipe", pipe_command=str(program), pipe_protocol="courier", pipe_seconds=60)
    for name in ("fred", "nobody"):
        await both.agree(f"PRE . imap {name}@x.test\n".encode())
    assert await both.login("fred@x.test", "wilma") == [True, True]
    assert await both.login("fred@x.test", "betty") == [False, False]
    assert await both.same_list() == 1
    theirs, ours = both.sockets
    for path in (theirs, ours):
        assert await only(path, "PASSWD imap\tfred@x.test\tbetty\tby us 22x!\n") == b"FAIL\n"
        assert await only(path, "PASSWD imap\tfred@x.test\twilma\tby us 22x!\n") == b"OK\n"
