"""What mail programs see of a stack, however it was started: addresses, a certificate, accounts."""

import imaplib
import itertools
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.compose import ComposeStack
from tests.e2e.node import Node
from tests.e2e.stack import DOMAIN, PASSWORD, Stack, wait_until

_number = itertools.count(1)
ALIASED = ("fred", "ann")  # the accounts that ALIASES lead to


@dataclass(frozen=True)
class Front:
    """Ports of 127.0.0.1; `ca` verifies every certificate for "localhost"."""

    imap: int
    imaps: int
    pop3: int
    pop3s: int
    smtp: int
    submission: int
    submissions: int
    https: int
    ca: Path
    nodes: dict[str, Node]
    add: Callable[..., None]

    def user(self, *, quota: str = "") -> str:
        """Return a fresh account; its password is PASSWORD."""
        address = f"user{next(_number)}@{DOMAIN}"
        self.add(address, quota=quota)
        return address

    def login(self, user: str) -> imaplib.IMAP4:
        """Log in by IMAP and open INBOX."""
        client = imaplib.IMAP4("127.0.0.1", self.imap, timeout=30)
        client.login(user, PASSWORD)
        client.select()
        return client

    def wait_for(self, user: str, subject: str, seconds: float = 60) -> bytes:
        """Return the message with this subject as soon as it is there."""
        found: list[bytes] = []

        def there() -> bool:
            with suppress(OSError, imaplib.IMAP4.error):
                client = self.login(user)
                numbers = client.search(None, "SUBJECT", f'"{subject}"')[1][0].split()
                if numbers:
                    found.append(client.fetch(numbers[0].decode(), "(BODY.PEEK[])")[1][0][1])  # type: ignore[index,arg-type]  # a literal
                client.logout()
            return bool(found)

        wait_until(f"{subject!r} is in {user}'s mailbox", there, seconds)
        return found[0]


def of_stack(stack: Stack) -> Front:
    """Return the front of a stack by testcontainers."""
    for name in ALIASED:
        stack.add_account(f"{name}@{DOMAIN}")
    stack.add_domain("catch.test")
    balancer, exim = stack.nodes["balancer"], stack.nodes["exim"]
    return Front(
        imap=balancer.port(1143),
        imaps=balancer.port(1993),
        pop3=balancer.port(1110),
        pop3s=balancer.port(1995),
        smtp=exim.port(25),
        submission=exim.port(587),
        submissions=exim.port(465),
        https=balancer.port(8443),
        ca=stack.files.tls / "ca.crt",
        nodes=stack.nodes,
        add=stack.add_account,
    )


def of_compose(stack: ComposeStack) -> Front:
    """Return the front of a stack by compose."""
    for name in ALIASED:
        stack.add_account(f"{name}@{DOMAIN}")
    stack.nodes["auth-1"].run("restante", "domain", "add", "catch.test")
    ca = stack.folder / "ca.crt"
    ca.write_bytes(stack.certificate())
    return Front(
        imap=stack.port("IMAP_PORT"),
        imaps=stack.port("IMAPS_PORT"),
        pop3=stack.port("POP3_PORT"),
        pop3s=stack.port("POP3S_PORT"),
        smtp=stack.port("SMTP_PORT"),
        submission=stack.port("SUBMISSION_PORT"),
        submissions=stack.port("SUBMISSIONS_PORT"),
        https=stack.port("HTTPS_PORT"),
        ca=ca,
        nodes=stack.nodes,
        add=stack.add_account,
    )
