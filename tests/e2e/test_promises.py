"""The checker of the fault tests catches what it is there for: loss, damage, bounces, doubles."""

import imaplib
import random

import pytest

from tests.e2e.campaign import doors
from tests.e2e.load import SENDER, Load, Try, read_everything
from tests.e2e.promises import Promises
from tests.e2e.stack import PASSWORD, Stack

pytestmark = pytest.mark.e2e

ACCOUNT = "promised@example.test"

# Known-bad systems: what an unsafe delivery, a bad disk or a wrong retry would leave behind.
LOSE = "os.unlink(files[0])"
DAMAGE = """
data = bytearray(open(files[0], 'rb').read())
data[-10] ^= 1
open(files[0], 'wb').write(data)
"""
SHORTEN = "os.truncate(files[0], os.stat(files[0]).st_size - 1)"
DOUBLE = "import shutil; shutil.copy(files[0], files[0].replace('/new/', '/new/9'))"
HEADER = """
data = open(files[0], 'rb').read()
open(files[0], 'wb').write(data.replace(b'Subject: ', b'Subject: [x] '))
"""
FIND = f"""
import glob, os
files = sorted(glob.glob('/srv/mail/**/{ACCOUNT.partition("@")[0]}/Maildir/new/*', recursive=True))
"""


@pytest.mark.parametrize(
    ("bad", "found", "lost", "duplicates"),
    [
        ("", "", 0, 0),
        (LOSE, "lost:", 1, 0),
        (DAMAGE, "torn at the end:", 1, 0),
        (SHORTEN, "altered:", 1, 0),
        (HEADER, "altered:", 1, 0),
        (DOUBLE, "", 0, 1),
    ],
    ids=["good", "lose", "damage", "shorten", "header", "double"],
)
def test_what_is_lost_is_found_out(
    stack: Stack, bad: str, found: str, lost: int, duplicates: int
) -> None:
    for address in (ACCOUNT, SENDER):
        stack.add_account(address)
    client = imaplib.IMAP4(*stack.address("imap", 1143))
    client.login(ACCOUNT, PASSWORD)
    client.select()
    client.store("1:*", "+FLAGS", "\\Deleted")
    client.expunge()
    client.logout()

    promises = Promises()
    load = Load(doors(stack), [ACCOUNT], promises)
    one = Try(random.Random(1), [ACCOUNT])
    for job in (load.lmtp, load.lmtp, load.hook):
        job(one)
    if bad:
        program = FIND + "assert len(files) == 3, files\n" + bad
        stack.nodes["delivery-1"].run("python3", "-c", program)
    promises.settle(read_everything(stack.address("imap", 1143, 2), [ACCOUNT], promises))
    assert promises.phases[0].promises == 3
    assert promises.phases[0].lost == lost
    assert promises.phases[0].duplicates == duplicates
    assert any(text.startswith(found) for text in promises.broken) if found else not promises.broken


def test_bounces_are_found_out(stack: Stack) -> None:
    promises = Promises()
    with Load(doors(stack), ["nobody@example.test"], promises) as load:
        del load
        promises.wait_for_all(["web"], 0.0, 60)
    kinds = {text.partition(":")[2].split(":")[0].strip() for text in promises.broken}
    assert kinds >= {"LMTP", "HTTP hook", "IMAP", "POP3"}
    assert promises.phases[0].bounced > 0
