"""Acting as the owner of mail, thread by thread: the kernel's own account of who we are."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from restante.model import MailError
from restante.store import identity
from restante.store.identity import acting, current, identity_of
from tests.unit.store.owners import ANN, BOB, fsuid, needs_root, run, setpriv, volume

# Prints one line a state: uid and gid for files, groups, what is left of the capabilities that
# would lift the checks.
SHOW = """
import sys, threading
from restante.store.identity import acting, identity_of
LIFTING = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 24
def show():
    state = dict(line.split(":", 1) for line in open("/proc/thread-self/status"))
    print(state["Uid"].split()[3], state["Gid"].split()[3], state["Groups"].split(),
          hex(int(state["CapEff"], 16) & LIFTING))
"""


def in_thread(work: Callable[[], None]) -> None:
    """Run in a thread of its own, which may be left as whoever; raises what it raises."""
    failures: list[BaseException] = []

    def run_it() -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run_it)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


@needs_root
def test_a_thread_acts_as_the_owner_and_comes_back() -> None:
    ann, bob = identity_of(ANN, ANN), identity_of(BOB, BOB)

    def work() -> None:
        with acting(ann):
            assert fsuid() == ANN
            with acting(ann):
                assert fsuid() == ANN
            with acting(bob):
                assert (fsuid(), current()) == (BOB, bob)
                with acting(None):
                    assert (fsuid(), current()) == (0, None)
                assert fsuid() == BOB
            assert fsuid() == ANN
            with pytest.raises(ZeroDivisionError), acting(bob):
                raise ZeroDivisionError
            assert fsuid() == ANN
        assert (fsuid(), current()) == (0, None)

    in_thread(work)


@needs_root
def test_other_threads_are_not_concerned() -> None:
    inside, done = threading.Event(), threading.Event()

    def work() -> None:
        with acting(identity_of(ANN, ANN)):
            inside.set()
            assert done.wait(20)

    thread = threading.Thread(target=work)
    thread.start()
    assert inside.wait(20)
    try:
        assert (fsuid(), current()) == (0, None)
    finally:
        done.set()
        thread.join()


@needs_root
def test_a_refusal_of_the_kernel_leaves_the_thread_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = identity._setfsgid

    def refused(gid: int) -> int:
        return int(real(gid if gid in (0, 0xFFFFFFFF) else 0))

    def work() -> None:
        with pytest.raises(MailError), acting(identity_of(ANN, ANN)):
            pytest.fail("acted under a wrong group")
        assert (fsuid(), current()) == (0, None)

    monkeypatch.setattr(identity, "_setfsgid", refused)
    in_thread(work)


@needs_root
def test_ids_that_do_not_exist_are_refused() -> None:
    def work() -> None:
        with pytest.raises(MailError), acting(identity_of(0xFFFFFFFF, 1)):
            pytest.fail("acted as nobody")
        assert (fsuid(), current()) == (0, None)

    in_thread(work)


@needs_root
def test_a_thread_that_cannot_come_back_ends_the_process() -> None:
    """Known bad: going on would do the next user's work as this one."""
    program = """
import os
from restante.model import ErrorKind, MailError
from restante.store import identity
def refuse(groups):
    if groups: raise MailError(ErrorKind.TEMPORARY, "no")
identity._set_groups = refuse
with identity.acting(identity.identity_of(61001, 61001)): pass
print("still here")
"""
    wrapper = ["sh", "-c", '"$@"; echo "exit $?"', "sh"]
    assert run(wrapper, program, groups=(4,)) == "exit 70"


@needs_root
def test_supplementary_groups_are_dropped_and_come_back() -> None:
    program = (
        SHOW
        + """
show()
with acting(identity_of(61001, 61002)): show()
with acting(identity_of(61001, 61002)):
    with acting(None): show()
    with acting(identity_of(61003, 61003)): show()
show()
"""
    )
    lines = run([], program, groups=(4, 27)).split("\n")
    own = "0 0 ['4', '27'] "
    assert [line.rpartition(" ")[0] + " " for line in lines] == [
        own,
        "61001 61002 [] ",
        own,
        "61003 61003 [] ",
        own,
    ]


@needs_root
def test_root_acts_without_the_rights_of_root() -> None:
    program = SHOW + "with acting(identity_of(61001, 61001)): show()"
    assert run([], program) == "61001 61001 [] 0x0"


@needs_root
@pytest.mark.parametrize("more", ["", ",+dac_override,+dac_read_search,+fowner"])
def test_a_user_with_two_capabilities_serves_others(more: str) -> None:
    program = (
        SHOW
        + """
def work():
    show()
    with acting(identity_of(61001, 61001)): show()
    show()
thread = threading.Thread(target=work); thread.start(); thread.join()
print(identity_of(61005, 61006), identity_of(61005, 61005))
try: identity_of(0, 0); print("root")
except Exception as error: print(type(error).__name__)
"""
    )
    capabilities = "+setuid,+setgid" + more
    wrapper = setpriv(
        *("--reuid=61005", "--regid=61006", "--clear-groups"),
        *(f"--inh-caps={capabilities}", f"--ambient-caps={capabilities}"),
    )
    lines = run(wrapper, program).split("\n")
    assert lines[0].startswith("61005 61006 []")
    assert lines[1] == "61001 61001 [] 0x0"
    assert lines[2] == "61005 61006 [] 0x0"
    assert lines[3] == "None Identity(uid=61005, gid=61005)"
    assert lines[4] == "MailError"


@needs_root
def test_a_user_without_capabilities_serves_all_as_himself() -> None:
    program = (
        SHOW
        + """
print(identity_of(61001, 61001))
with acting(identity_of(61001, 61001)): show()
"""
    )
    lines = run(setpriv("--reuid=61005", "--regid=61006", "--clear-groups"), program).split("\n")
    assert lines == ["None", "61005 61006 [] 0x0"]


@needs_root
def test_root_without_capabilities_refuses_others() -> None:
    program = """
from restante.store.identity import identity_of
print(identity_of(0, 0))
try: print(identity_of(61001, 61001))
except Exception as error: print(error)
"""
    lines = run(setpriv("--bounding-set=-setuid,-setgid"), program).split("\n")
    assert lines[0] == "None"
    assert "CAP_SETUID and CAP_SETGID" in lines[1]


@needs_root
def test_links_and_files_of_others_are_closed() -> None:
    with volume() as root:
        secret = root / "secret"
        secret.write_text("x")
        secret.chmod(0o600)
        (root / "link").symlink_to(secret)

        def work() -> None:
            for path in (secret, root / "link", Path("/etc/shadow")):
                with acting(identity_of(ANN, ANN)), pytest.raises(PermissionError):
                    path.read_bytes()

        in_thread(work)
