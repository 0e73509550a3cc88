"""What a process may do for the owners of mail, by the rights that it has."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.store.owners import ANN, needs_root, owners_of, run, setpriv, volume

pytestmark = needs_root


@pytest.fixture
def root() -> Iterator[Path]:
    with volume() as made:
        yield made


PROGRAM = """
import logging, os, sys
from pathlib import Path
from restante.model import Account, MailError
from restante.store.account import MailStore
from restante.store.delivery import Incoming
from restante.store.hints import Hints
from restante.store.identity import acting
logging.basicConfig(format="%(message)s", stream=sys.stdout)
store = MailStore(Path(sys.argv[1]), hints=Hints())
def target(uid, gid):
    home = store.mail_root / "d" / str(uid)
    return store.open_account(Account(f"{uid}@d", uid, gid, home, home / "Maildir"))
def put(to):
    message = Incoming(to)
    message.write(b"x")
    message.deliver(to, last=True)
def kind(work):
    try: work()
    except MailError as error: return error.kind.name
    return "done"
"""


WATCH = """
import asyncio
from restante.store.hints_inotify import InotifyHints
async def main():
    global store
    store = MailStore(Path(sys.argv[1]), hints=InotifyHints())
    ann = target(61001, 61001)
    await store.pool.run(put, ann)
    inbox = await store.pool.run(ann.open_mailbox, ())
    await store.pool.run(inbox.refresh)
    changed = asyncio.Event()
    inbox.watch(changed.set)
    await asyncio.to_thread(put, ann)
    await asyncio.wait_for(changed.wait(), 20)
    print(len(inbox))
asyncio.run(main())
"""


def test_a_user_with_capabilities_hears_of_changes(root: Path) -> None:
    """The kernel hides /proc/self from a process that changes its ids, but not from itself."""
    os.chown(root, 61005, 61005)
    assert run(with_capabilities("+setuid,+setgid,+chown"), PROGRAM + WATCH, str(root)) == "2"


def with_capabilities(names: str) -> list[str]:
    return setpriv(
        *("--reuid=61005", "--regid=61005", "--clear-groups"),
        *(f"--inh-caps={names}", f"--ambient-caps={names}"),
    )


def test_without_capabilities_all_mail_is_the_processs_own(root: Path) -> None:
    os.chown(root, 61005, 61005)
    wrapper = setpriv("--reuid=61005", "--regid=61005", "--clear-groups")
    assert run(wrapper, PROGRAM + "put(target(61001, 61001)); print('ok')", str(root)) == "ok"
    assert owners_of(root / "d") == {(61005, 61005)}


def test_without_capabilities_anothers_mail_is_a_clear_refusal(root: Path) -> None:
    home = root / "d" / "61001"
    (home / "Maildir").mkdir(parents=True)
    for path in (home, home / "Maildir"):
        os.chown(path, ANN, ANN)
        path.chmod(0o700)
    wrapper = setpriv("--reuid=61005", "--regid=61005", "--clear-groups")
    program = PROGRAM + (
        "print(kind(lambda: put(target(61001, 61001))))\n"
        "print(kind(lambda: target(61001, 61001).open_mailbox(())))\n"
    )
    said, *kinds = run(wrapper, program, str(root)).split("\n")
    assert kinds == ["TEMPORARY", "TEMPORARY"]
    for word in ("61001@d", "uid 61001", "uid 61005", "CAP_SETUID", "CAP_SETGID"):
        assert word in said


def test_root_without_capabilities_refuses_and_says_so_once(root: Path) -> None:
    program = PROGRAM + (
        "print(kind(lambda: put(target(61001, 61001))))\n"
        "print(kind(lambda: target(61001, 61001).open_mailbox(())))\n"
        "print(target(61001, 61001).open_unmoved(()))\n"
        "print(kind(lambda: put(target(0, 0))))\n"
    )
    said, *rest = run(setpriv("--bounding-set=-setuid,-setgid"), program, str(root)).split("\n")
    assert "61001@d" in said
    assert "CAP_SETUID and CAP_SETGID" in said
    assert rest == ["TEMPORARY", "TEMPORARY", "None", "done"]


def test_a_user_with_capabilities_makes_homes_with_cap_chown(root: Path) -> None:
    os.chown(root, 61005, 61005)
    program = PROGRAM + "print(kind(lambda: put(target(61001, 61002))))"
    capabilities = "+setuid,+setgid,+chown,+dac_override,+dac_read_search"
    assert run(with_capabilities(capabilities), program, str(root)) == "done"
    assert owners_of(root / "d" / "61001") == {(61001, 61002)}
    assert (root / "d").stat().st_uid == 61005


def test_two_owners_by_a_user_with_all_rights_are_still_apart(root: Path) -> None:
    """CAP_DAC_OVERRIDE of a process that is not root is not used for anybody's mail."""
    os.chown(root, 61005, 61005)
    program = PROGRAM + (
        "put(target(61001, 61001)); put(target(61002, 61002))\n"
        "ann, bob = target(61001, 61001), target(61002, 61002)\n"
        "with acting(bob.identity):\n"
        "    os.rename(bob.maildir, bob.account.home / 'aside')\n"
        "    os.symlink(ann.maildir, bob.maildir)\n"
        "store.handles.close()\n"
        "print(kind(lambda: bob.open_mailbox(())), kind(lambda: put(bob)))\n"
    )
    capabilities = "+setuid,+setgid,+chown,+dac_override,+dac_read_search,+fowner"
    said = run(with_capabilities(capabilities), program, str(root)).split("\n")
    assert said[-1] == "TEMPORARY TEMPORARY"


def test_mail_of_root_is_not_served_by_a_user(root: Path) -> None:
    program = PROGRAM + "print(kind(lambda: target(0, 0).ensure()))"
    wrapper = with_capabilities("+setuid,+setgid")
    root.chmod(0o777)
    assert run(wrapper, program, str(root)).endswith("\nTEMPORARY")
    assert not (root / "d").exists()
