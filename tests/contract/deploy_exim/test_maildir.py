"""The alternative of old: exim writes into Maildirs itself, by what auth or userdb says of them."""

import pwd
import re
import shutil
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path

import pytest

from restante.userdb.make import BERKELEY, CDB, GDBM, make
from tests.contract.deploy_exim.conftest import MakeExim
from tests.contract.deploy_exim.harness import USER
from tests.contract.deploy_exim.stack import FRED, Stack
from tests.support.system import unique_message

pytestmark = pytest.mark.slow


@pytest.fixture
def shared(folder: Path) -> Iterator[Stack]:
    """Services whose mail belongs to exim's user, on a volume that exim may enter."""
    owner = pwd.getpwnam(USER)
    root = folder / "mail"
    root.mkdir(mode=0o711)
    stack = Stack(
        folder / "stack",
        RESTANTE_MAIL_ROOT=str(root),
        RESTANTE_AUTH_MAIL_UID=str(owner.pw_uid),
        RESTANTE_AUTH_MAIL_GID=str(owner.pw_gid),
    )
    stack.system.mail_root = root
    with stack:
        shutil.chown(root, USER, USER)
        root.chmod(0o711)
        yield stack


def userdb(folder: Path, root: Path) -> str:
    owner = pwd.getpwnam(USER)
    top = folder / "userdb"
    top.touch(0o600)
    lines = ""
    for name, quota in (("fred", ""), ("ann", ""), ("full", "|quota=1000S")):
        home = root / "example.test" / name[:1] / name[:2] / name
        lines += (
            f"{name}@example.test\tuid={owner.pw_uid}|gid={owner.pw_gid}|home={home}"
            f"|mail={home}/Maildir{quota}|systempw=x\n"
        )
    top.write_text(lines)
    make(top, (GDBM, BERKELEY, CDB))
    return str(top.with_name("userdb.cdb"))


@pytest.mark.parametrize("variant", ["readsocket", "userdb"])
def test_into_the_maildir(variant: str, shared: Stack, make_exim: MakeExim, folder: Path) -> None:
    root = shared.system.mail_root
    settings = {
        "EXIM_TRANSPORT": "maildir",
        "EXIM_VERIFY": variant,
        "EXIM_MAIL_ROOT": str(root),
        "EXIM_DOMAINS": "example.test",
        "EXIM_USERDB": userdb(folder, root),
    }
    exim = make_exim(shared, **settings)
    name = exim.send(unique_message("by exim"), FRED, "fred+lists@example.test")
    exim.wait_log(f"{name} Completed")
    home = root / "example.test/f/fr/fred/Maildir"
    files = list((home / "new").iterdir())
    assert len(files) == 2
    size = re.search(r",S=(\d+)\Z", files[0].name)
    assert size
    # The tag is the message without the fields that exim puts in front of it.
    assert 0 <= files[0].stat().st_size - int(size[1]) < 250
    message = message_from_bytes(files[0].read_bytes())
    assert message["Return-path"] == "<bob@x.test>"
    assert message["Envelope-to"]
    assert message["Delivery-date"]
    assert exim.rcpt("nobody@example.test")[0] == 550

    # Full: it waits, and the owner's own file says what was counted.
    name = exim.send(unique_message("too much", size=3000), "full@example.test")
    exim.wait_log(f"{name} == full@example.test .*quota")
    assert exim.queue() == ["full@example.test"]

    # Without the volume's mark nothing is written, and nothing bounces.
    (root / ".restante-volume").rename(root / "gone")
    name = exim.send(unique_message("unmounted"), FRED)
    exim.wait_log(f"{name} == fred@example.test")
    assert len(list((home / "new").iterdir())) == 2
    (root / "gone").rename(root / ".restante-volume")
    exim.wait_log(f"{name} Completed")
    assert len(list((home / "new").iterdir())) == 3


def test_a_full_mailbox_bounces_by_setting_and_a_nearly_full_one_is_told(
    shared: Stack, make_exim: MakeExim
) -> None:
    shared.system.add_account("small@example.test", "correct horse", quota="10000S")
    exim = make_exim(
        shared,
        EXIM_TRANSPORT="maildir",
        EXIM_VERIFY="readsocket",
        EXIM_MAIL_ROOT=str(shared.system.mail_root),
        EXIM_OVER_QUOTA="552",
        EXIM_QUOTA_WARN="50",
    )
    name = exim.send(unique_message("much", size=6000), "small@example.test", sender=FRED)
    exim.wait_log(f"{name} Completed")
    exim.wait_log("Completed", count=2)  # the warning
    assert len(shared.stored("Subject: Your mailbox is nearly full\n", "small@example.test")) == 1
    name = exim.send(unique_message("too much", size=6000), "small@example.test", sender=FRED)
    exim.wait_log(rf"{name} \*\* small@example.test")
    exim.wait_log("Completed", count=4)
    assert len(shared.stored("mailbox is full")) == 1
    lines = (
        (shared.system.mail_root / "example.test/s/sm/small/Maildir/maildirsize")
        .read_text()
        .splitlines()
    )
    assert lines[0] == "10000S,0C"


def test_it_needs_to_know_where(make_exim: MakeExim, shared: Stack) -> None:
    exim = make_exim(shared, start=False, EXIM_TRANSPORT="maildir")
    with pytest.raises(Exception, match="render"):
        exim.render()
