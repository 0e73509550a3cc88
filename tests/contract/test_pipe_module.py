"""The module pipe: real programs, good and bad ones."""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from restante.model import ErrorKind, MailError, Quota
from restante.rpc.client import AuthClient
from services.auth.backends import pipe
from services.auth.backends.base import Backend, Check, ModuleContext, PasswordChange
from services.auth.database.engine import Database, database_url
from services.auth.names import Login, NameRules
from tests.services.auth.conftest import make_settings, serving
from tests.services.auth.process import auth_process

RULES = NameRules()
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "directory-module.md"
HANG = 60.0  # seconds; only against hangs

Make = Callable[..., Backend]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    async with AsyncExitStack() as stack:

        def run(program: str, **settings: Any) -> Backend:
            path = tmp_path / "program.py"
            path.write_text(program)
            values = {
                "pipe_command": f"{sys.executable} -I '{path}' 'an argument'",
                "pipe_seconds": HANG,
                **settings,
            }
            database = Database(database_url(f"sqlite:///{tmp_path}/db"))
            made = pipe.make(make_settings(tmp_path, **values), ModuleContext(RULES, database))
            stack.push_async_callback(made.close)
            return made

        yield run


def login(text: str) -> Login:
    return RULES.parse(text)


async def temporary(work: Awaitable[object]) -> None:
    with pytest.raises(MailError) as caught:
        await work
    assert caught.value.kind is ErrorKind.TEMPORARY


def example() -> str:
    """The program of the document, exactly."""
    found = re.search(r"^```python\n(.*?)^```$", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


FRED = "fred@example.org"


async def test_the_example_of_the_document(make: Make, tmp_path: Path) -> None:
    backend = make(example())
    await backend.open()
    record = await backend.find(login("Fred@Example.ORG"))
    assert record is not None
    account = record.account
    assert (account.address, account.uid, account.gid) == (FRED, 1000, 1000)
    assert account.home == tmp_path / "mail/example.org/fred"
    assert account.maildir == account.home / "Maildir"
    assert account.quota == Quota(1_000_000_000)
    assert record.checks
    assert not record.reusable
    assert await backend.check(login(FRED), record, Check(b"wilma", "imap", "::1"))
    assert not await backend.check(login(FRED), record, Check(b"betty", "imap"))
    assert not await backend.check(login(FRED), record, Check(b"\xff", "imap"))
    assert await backend.find(login("nobody@example.org")) is None
    listed = {r.account.address: r.account async for r in backend.records()}
    assert sorted(listed) == [FRED, "shop@example.org"]
    assert listed["shop@example.org"].options.enabled("disableimap")


async def test_passwords_are_set_by_the_example(make: Make) -> None:
    backend = make(example(), pipe_processes=1)
    assert await backend.set_password(login(FRED), PasswordChange(b"pebbles", "", b"wilma"))
    record = await backend.find(login(FRED))
    assert record is not None
    assert await backend.check(login(FRED), record, Check(b"pebbles", "imap"))
    with pytest.raises(MailError) as caught:
        await backend.set_password(login(FRED), PasswordChange(b"abc", ""))
    assert caught.value.kind is ErrorKind.CANNOT
    change = PasswordChange(b"pebbles", "")
    assert not await backend.set_password(login("nobody@example.org"), change)


async def test_logins_end_to_end(tmp_path: Path) -> None:
    path = tmp_path / "accounts.py"
    path.write_text(example())
    settings = make_settings(
        tmp_path, modules=("pipe",), pipe_command=f"{sys.executable} {path}", pipe_seconds=HANG
    )
    async with serving(settings):
        client = AuthClient(str(settings.listen))
        account = await client.authenticate(FRED, "wilma", service="imap", peer="")
        assert account.uid == 1000
        for user, password in ((FRED, "betty"), (FRED, ""), ("nobody@example.org", "wilma")):
            with pytest.raises(MailError) as caught:
                await client.authenticate(user, password, service="imap", peer="")
            assert caught.value.kind is ErrorKind.AUTH_FAILED
        await client.close()


def says(text: str) -> str:
    """A program that answers everything by `text`."""
    return f"import sys\nfor line in sys.stdin:\n    print({text!r}, flush=True)\n"


def good(**fields: object) -> str:
    """An answer with an account."""
    return json.dumps({"result": "ok", "account": {"uid": 1, "gid": 2, "home": "h", **fields}})


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "no JSON",
        "[]",
        "null",
        "{}",
        '{"result":"OK"}',
        '{"result":"ok"}',
        '{"result":"refused"}',
        '{"result":"end"}',
        '{"result":"temporary","reason":"the database is away"}',
        '{"result":"not_found","extra":1}',
        '{"result":"not_found"} {"result":"not_found"}',
        '{"result":"ok","account":{"uid":1,"gid":2}}',
        '{"result":"ok","account":{"uid":0,"gid":2,"home":"h"}}',
        '{"result":"ok","account":{"uid":1,"gid":0,"home":"h"}}',
        '{"result":"ok","account":{"uid":-1,"gid":2,"home":"h"}}',
        '{"result":"ok","account":{"uid":"1","gid":2,"home":"h"}}',
        '{"result":"ok","account":{"uid":1.0,"gid":2,"home":"h"}}',
        '{"result":"ok","account":{"uid":4294967295,"gid":2,"home":"h"}}',
        '{"result":"ok","account":{"uid":1,"gid":2,"home":""}}',
        '{"result":"ok","account":{"uid":1,"gid":2,"home":"../../etc"}}',
        '{"result":"ok","account":{"uid":1,"gid":2,"home":"a\\u0000b"}}',
        good(maildir="../x"),
        good(maildir=""),
        good(quota="much"),
        good(options="a=1\nb"),
        good(disabled="yes"),
        good(disable=True),
        good(address="../x"),
        good(name="x" * 70000),
        "x" * 1_000_000,
    ],
)
async def test_what_the_contract_does_not_know_is_a_temporary_failure(
    make: Make, answer: str
) -> None:
    await temporary(make(says(answer)).find(login(FRED)))


async def test_the_counterpart(make: Make) -> None:
    answer = good(password="{PLAIN}x", address="Owner@x.test")
    record = await make(says(answer)).find(login(FRED))
    assert record is not None
    assert (record.account.address, record.password) == ("owner@x.test", "{PLAIN}x")
    assert not record.checks


@pytest.mark.parametrize(
    "answer",
    ['{"result":"temporary"}', '{"result":"end"}', "?", '{"result":"ok","account":{}}'],
)
async def test_a_doubtful_check_is_not_a_wrong_password(make: Make, answer: str) -> None:
    record = await make(says(good())).find(login(FRED))
    assert record is not None
    doubtful = make(says(answer))
    await temporary(doubtful.check(login(FRED), record, Check(b"wilma", "imap")))


@pytest.mark.parametrize(
    "program",
    [
        "raise SystemExit(1)",
        "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
        "import sys; sys.stdin.readline(); sys.exit()",
        "import sys; sys.stdin.readline(); print('{\"result\":', end='', flush=True)",
        "import sys; sys.stdin.close(); print('x' * 10_000_000)",
    ],
)
async def test_a_program_that_dies(make: Make, program: str) -> None:
    backend = make(program)
    for _ in range(3):
        await temporary(backend.find(login(FRED)))


@pytest.mark.parametrize("command", ["/no/such/program", "/etc/passwd", "/tmp"])
async def test_a_program_that_cannot_be_started(make: Make, command: str) -> None:
    await temporary(make("", pipe_command=command).find(login(FRED)))


def test_no_command(make: Make) -> None:
    with pytest.raises(MailError) as caught:
        make("", pipe_command="")
    assert caught.value.kind is ErrorKind.CANNOT


HANGS = """
import json, os, subprocess, sys, time
for line in sys.stdin:
    if json.loads(line)["local"] == "slow":
        helper = subprocess.Popen(["sleep", "600"])
        print(os.getpid(), helper.pid, file=open(PIDS, "w"), flush=True)
        time.sleep(600)
    print('{"result":"not_found"}', flush=True)
"""


async def gone(pid: int) -> None:
    """Wait for the end of a process (a zombie that nobody collects has ended)."""
    async with asyncio.timeout(HANG):
        while True:
            try:
                state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            except (FileNotFoundError, ProcessLookupError):
                return
            if state == "Z":
                return
            await asyncio.sleep(0.01)


async def test_a_program_that_hangs_is_killed_with_what_it_started(
    make: Make, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    backend = make(f"PIDS = {str(pids)!r}\n{HANGS}", pipe_seconds=1.5, pipe_processes=1)
    assert await backend.find(login("quick@x.test")) is None
    async with asyncio.timeout(HANG):
        await temporary(backend.find(login("slow@x.test")))
    for pid in map(int, pids.read_text().split()):
        await gone(pid)
    assert await backend.find(login("quick@x.test")) is None


async def test_a_caller_that_goes_away_kills_nobody(make: Make) -> None:
    program = """
import json, os, sys
for line in sys.stdin:
    print(json.dumps({"result": "ok", "account": {"uid": os.getpid(), "gid": 1, "home": "h",
          "name": json.loads(line)["local"]}}), flush=True)
"""
    backend = make(program, pipe_processes=1)
    seen = set()
    for turn in range(30):
        task = asyncio.create_task(backend.find(login("abandoned@x.test")))
        for _ in range(turn % 6):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        record = await backend.find(login("fred@x.test"))
        assert record is not None
        assert record.account.name == "fred"
        seen.add(record.account.uid)
    assert len(seen) == 1


async def test_answers_are_never_mixed_up(make: Make) -> None:
    program = """
import json, sys
for line in sys.stdin:
    print(json.dumps({"result": "ok", "account": {"uid": 1, "gid": 1,
          "home": json.loads(line)["local"]}}), flush=True)
"""
    backend = make(program, pipe_processes=3)

    async def ask(number: int) -> None:
        record = await backend.find(login(f"user{number}@x.test"))
        assert record is not None
        assert record.account.home.name == f"user{number}"

    await asyncio.gather(*map(ask, range(300)))


async def test_a_program_that_says_more_than_it_was_asked(make: Make, tmp_path: Path) -> None:
    """The second line is not the answer to the next question: a new process answers that."""
    program = """
import sys
for line in sys.stdin:
    print('{"result":"not_found"}\\n{"result":"ok","account":{"uid":9,"gid":9,"home":"evil"}}',
          flush=True)
"""
    backend = make(program, pipe_processes=1)
    for _ in range(20):
        assert await backend.find(login(FRED)) is None


async def test_a_program_that_answers_once(make: Make) -> None:
    """It is started anew for each question; only what could be done twice is not repeated."""
    program = 'import sys; sys.stdin.readline(); print(\'{"result":"not_found"}\')'
    backend = make(program, pipe_processes=1)
    for _ in range(10):
        assert await backend.find(login(FRED)) is None


async def test_its_surroundings(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """No environment, no files of ours, its own session; arguments as they were quoted."""
    monkeypatch.setenv("RESTANTE_AUTH_ADMIN_TOKEN", "secret")
    read, write = os.pipe()
    os.set_inheritable(write, True)
    program = """
import json, os, sys
seen = [sorted(os.environ), sorted(os.listdir("/proc/self/fd")), os.getcwd(), sys.argv[1:],
        os.getsid(0) == os.getpid()]
for line in sys.stdin:
    print(json.dumps({"result": "ok", "account": {"uid": 1, "gid": 1, "home": "h",
          "name": json.dumps(seen)}}), flush=True)
"""
    record = await make(program).find(login(FRED))
    os.close(read)
    os.close(write)
    assert record is not None
    environment, files, folder, arguments, own_session = json.loads(record.account.name)
    assert set(environment) <= {"LANG", "PATH", "LC_CTYPE"}  # Python adds the last one itself
    assert len(files) == 4  # the fourth is the directory that is listed
    assert (folder, arguments, own_session) == ("/", ["an argument"], True)


async def test_its_complaints_reach_the_log(make: Make, capfd: pytest.CaptureFixture[str]) -> None:
    program = "import sys\nprint('the roof is on fire\\x1b[2J', file=sys.stderr)\n"
    await temporary(make(program).find(login(FRED)))
    text = "".join(capfd.readouterr())
    assert "the roof is on fire" in text
    assert "wilma" not in text


async def test_a_list_that_breaks_off(make: Make) -> None:
    line = good(address="a@x.test")
    program = f"import sys; sys.stdin.readline(); print({line!r})"
    listed = []

    async def run() -> None:
        async for record in make(program).records():
            listed.append(record.account.address)

    await temporary(run())
    assert listed == ["a@x.test"]


async def test_a_long_list_is_streamed(make: Make) -> None:
    """More than any buffer holds, and a reader that stops early ends the program."""
    program = """
import sys
sys.stdin.readline()
for i in range(200_000):
    print('{"result":"ok","account":{"uid":1,"gid":1,"home":"h","address":"u%d@x.test"}}' % i)
print('{"result":"end"}', flush=True)
"""
    backend = make(program)
    count = 0
    async for _ in backend.records():
        count += 1
        if count == 1000:
            break
    assert count == 1000


# -- Courier's own protocol

AUTHPROG = """
import sys
PASSWORDS = {"fred": "wilma"}
ROW = "%s@x.test\\t1000\\t1000\\t/home/%s\\t\\tdisableimap=0\\n"
def say(text):
    sys.stdout.write(text); sys.stdout.flush()
def account(name):
    say(f"UID=1000\\nGID=1001\\nHOME=/home/{name}\\nADDRESS={name}@x.test\\nNAME=Fred, 5\\n"
        f"QUOTA=100S\\nOPTIONS=group=a,disablepop3=1\\nPASSWD=x\\nPASSWD2={PASSWORDS[name]}\\n.\\n")
while line := sys.stdin.buffer.readline():
    words = line.decode().rstrip("\\n").split(" ")
    if words[0] == "PRE":
        assert words[1:3] == [".", "login"], words
        name = words[3].partition("@")[0]
        if name == "system":
            say("USERNAME=daemon\\nGID=7\\nHOME=/var/empty\\nMAILDIR=/box\\n.\\n")
        elif name == "broken":
            sys.exit()
        elif name == "rubbish":
            say("what?\\n")
        elif name == "root":
            say("UID=0\\nGID=1\\nHOME=/root\\n.\\n")
        elif name in PASSWORDS:
            account(name)
        else:
            say("FAIL\\n")
    elif words[0] == "AUTH":
        service, kind, user, password, rest = sys.stdin.buffer.read(int(words[1])).split(b"\\n")
        assert (service, kind, rest) == (b"imap", b"login", b"")
        name = user.decode().partition("@")[0]
        if PASSWORDS.get(name, "").encode() == password:
            account(name)
        else:
            say("FAIL\\n")
    elif words[0] == "PASSWD":
        service, user, old, new = " ".join(words[1:]).split("\\t")
        name = user.partition("@")[0]
        good = PASSWORDS.get(name) == old
        if good:
            PASSWORDS[name] = new
        say("OK\\n" if good else "FAIL\\n")
    elif words[0] == "ENUMERATE":
        say("# authpipe\\n\\n" + ROW % ("fred", "fred"))
        say("root@x.test\\t0\\t0\\t/root\\t\\t\\n.\\n")
"""


@pytest.fixture
def courier(make: Make) -> Backend:
    return make(AUTHPROG, pipe_protocol="courier", pipe_processes=1)


async def test_an_authpipe_program(courier: Backend) -> None:
    fred = login("Fred@X.test")
    record = await courier.find(fred)
    assert record is not None
    account = record.account
    assert (account.address, account.uid, account.gid) == ("fred@x.test", 1000, 1001)
    assert account.maildir == Path("/home/fred/Maildir")
    assert (account.name, account.quota) == ("Fred", Quota(100))
    assert account.options.enabled("disablepop3")
    assert (record.clear, record.checks) == ("wilma", True)
    assert await courier.check(fred, record, Check(b"wilma", "imap"))
    assert not await courier.check(fred, record, Check(b"betty", "imap"))
    assert not await courier.check(fred, record, Check(b"wilma\nx", "imap"))
    assert not await courier.check(fred, record, Check(b"", "imap"))
    assert not await courier.check(fred, record, Check(b"x" * 9000, "imap"))
    assert await courier.find(login("nobody@x.test")) is None
    assert [r.account.address async for r in courier.records()] == ["fred@x.test"]


async def test_a_system_user_of_an_authpipe_program(courier: Backend) -> None:
    record = await courier.find(login("system@x.test"))
    assert record is not None
    assert (record.account.uid, record.account.gid) == (1, 7)
    assert record.account.maildir == Path("/box")


@pytest.mark.parametrize("name", ["broken", "rubbish", "root"])
async def test_an_authpipe_program_with_faults(courier: Backend, name: str) -> None:
    await temporary(courier.find(login(f"{name}@x.test")))
    assert await courier.find(login("nobody@x.test")) is None


async def test_an_authpipe_program_changes_a_password(courier: Backend) -> None:
    fred = login("fred@x.test")
    with pytest.raises(MailError) as caught:
        await courier.set_password(fred, PasswordChange(b"new one", "", b"betty"))
    assert caught.value.kind is ErrorKind.CANNOT
    assert await courier.set_password(fred, PasswordChange(b"new one", "", b"wilma"))
    record = await courier.find(fred)
    assert record is not None
    assert await courier.check(fred, record, Check(b"new one", "imap"))
    assert not await courier.set_password(fred, PasswordChange(b"new", ""))  # none without the old
    assert not await courier.set_password(fred, PasswordChange(b"a\tb", "", b"new one"))


@pytest.mark.slow
async def test_in_a_process_of_its_own(tmp_path: Path) -> None:
    """As operators run it; and the program ends with the service."""
    program = tmp_path / "accounts.py"
    program.write_text(
        f"import os\nprint(os.getpid(), file=open({str(tmp_path / 'pid')!r}, 'w'))\n" + example()
    )
    data = tmp_path / "data"
    data.mkdir()
    settings = {
        "RESTANTE_AUTH_MODULES": "authpipe",
        "RESTANTE_AUTH_PIPE_COMMAND": f"{sys.executable} {program}",
        "RESTANTE_AUTH_PIPE_PROCESSES": "1",
        "RESTANTE_AUTH_PIPE_SECONDS": str(HANG),
    }
    with auth_process(data, **settings) as process:
        client = AuthClient(process.target)
        assert (await client.authenticate(FRED, "wilma", service="imap", peer="")).uid == 1000
        with pytest.raises(MailError) as caught:
            await client.authenticate(FRED, "betty", service="imap", peer="")
        assert caught.value.kind is ErrorKind.AUTH_FAILED
        await client.close()
    await gone(int((tmp_path / "pid").read_text()))
