"""A delivery worker in the test's own loop: the real store on tmp_path, accounts from a dict."""

import asyncio
from pathlib import Path
from typing import Any, cast

from restante.model import INBOX, Account, ErrorKind, FolderName, MailError, Quota
from restante.runtime.address import ListenAddress
from restante.runtime.listener import Listener, listen
from restante.runtime.tls import TlsContexts
from restante.store.account import MailStore
from restante.store.hints import Hints
from restante.store.layout import disk_name
from restante.store.pool import StorePool
from restante.store.volume import create_volume
from services.delivery.deliver import Depot
from services.delivery.http import create_app
from services.delivery.ledger import KeyLedger
from services.delivery.lmtp import Backend
from services.delivery.lmtp_connection import BUSY, LmtpConnection
from services.delivery.recipients import Recipients
from services.delivery.settings import DeliverySettings

FRED = "fred@example.test"
ANN = "ann@example.test"
TOKEN = "a token of the tests"


class Worker:
    """`async with Worker(tmp_path, over_quota=552) as worker`; settings by keyword."""

    def __init__(self, tmp_path: Path, *, tls: TlsContexts | None = None, **settings: Any) -> None:
        self.root = tmp_path / "mail"
        create_volume(self.root)
        self.settings = DeliverySettings(**cast(Any, {"hostname": "mx.test", **settings}))
        self.tls = tls
        self.accounts: dict[str, Account] = {}
        self.fault: MailError | None = None
        self.lookups: list[str] = []
        for address in (FRED, ANN):
            self.add(address)

    def add(self, address: str, quota: str = "", *, disabled: bool = False) -> Account:
        local, _, domain = address.partition("@")
        home = self.root / domain / local[:1] / local[:2] / local
        account = Account(
            address,
            0,
            0,
            home,
            home / "Maildir",
            quota=Quota.parse(quota),
            disabled=disabled,
        )
        self.accounts[address] = account
        return account

    async def lookup(self, address: str, session: str = "") -> Account:
        self.lookups.append(address)
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault
        if address not in self.accounts:
            raise MailError(ErrorKind.NO_SUCH_USER)
        return self.accounts[address]

    async def __aenter__(self) -> "Worker":
        s = self.settings
        pool = StorePool(4)
        self.store = MailStore(self.root, hints=Hints(), pool=pool)
        self.backend = Backend(
            s,
            Depot(self.store, pool, s.hostname, s.max_message_size, s.bare_newlines == "refuse"),
            Recipients(
                self.lookup,
                cache_seconds=s.lookup_cache,
                separators=s.subaddress_separators,
                folders=s.subaddress_folders,
                disabled=s.disabled_accounts,
            ),
            tls_available=self.tls is not None,
        )
        self.app = create_app(self.backend, TOKEN, KeyLedger(self.root))
        self.listener: Listener = await listen(
            ListenAddress("127.0.0.1", 0),
            lambda listener: LmtpConnection(listener, self.backend),
            tls=self.tls,
            busy=BUSY,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.listener.drain(0)
        await self.store.close()

    def files(self, address: str = FRED, folder: FolderName = INBOX) -> list[Path]:
        """Files in new/, oldest first."""
        maildir = self.accounts[address].maildir
        new = (maildir / disk_name(folder) if folder else maildir) / "new"
        return sorted(new.iterdir()) if new.exists() else []

    def messages(self, address: str = FRED, folder: FolderName = INBOX) -> list[bytes]:
        return [file.read_bytes() for file in self.files(address, folder)]

    def left_in_tmp(self) -> list[Path]:
        return [p for p in self.root.rglob("tmp/*") if p.is_file()]

    async def connect(self) -> "Client":
        host, port = self.listener.address.target
        return Client(*await asyncio.open_connection(host, port))

    async def greeted(self) -> "Client":
        client = await self.connect()
        assert (await client.reply())[0] == 220
        assert (await client.ask("LHLO client.test"))[0] == 250
        return client


class Client:
    """An LMTP client that does as it is told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def reply(self) -> tuple[int, str]:
        """One reply; the lines of a longer one are joined by newlines. (0, "") at the end."""
        lines = []
        while True:
            line = (await asyncio.wait_for(self.reader.readline(), 10)).decode()
            if not line:
                return 0, ""
            assert line.endswith("\r\n")
            lines.append(line[4:-2])
            if line[3] == " ":
                return int(line[:3]), "\n".join(lines)

    async def ask(self, command: str) -> tuple[int, str]:
        self.send(command.encode() + b"\r\n")
        return await self.reply()

    async def deliver(self, data: bytes, *recipients: str, sender: str = "bob@x.test") -> list[int]:
        """One transaction; the codes of the replies after DATA, or that of DATA itself."""
        assert (await self.ask(f"MAIL FROM:<{sender}>"))[0] == 250
        accepted = 0
        for recipient in recipients or (FRED,):
            accepted += (await self.ask(f"RCPT TO:<{recipient}>"))[0] == 250
        code, _ = await self.ask("DATA")
        if code != 354:
            return [code]
        self.send(data)
        return [(await self.reply())[0] for _ in range(accepted)]

    async def ended(self) -> bool:
        return await asyncio.wait_for(self.reader.read(), 10) == b""
