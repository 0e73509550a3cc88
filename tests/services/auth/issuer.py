"""An OAuth issuer on loopback: discovery, JWKS, introspection, each as a test wants it."""

import asyncio
import base64
import json
import re
import time
from typing import Any
from urllib.parse import parse_qs

from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

Key = RSAKey | ECKey | OKPKey | OctKey


class Issuer:
    """`async with`; `asked` counts requests by path."""

    def __init__(self) -> None:
        self.keys: dict[str, Key] = {"one": RSAKey.generate_key(2048, {"kid": "one"})}
        self.asked: dict[str, int] = {}
        self.down = False
        self.hangs: asyncio.Event | None = None  # answers nobody before it is set
        self.tokens: dict[str, dict[str, Any]] = {}  # what introspection says
        self.raw: dict[str, bytes] = {}  # bodies in place of what would be said
        self.credentials = ""
        self.url = ""

    async def __aenter__(self) -> "Issuer":
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        await self.server.wait_closed()

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(time.time())
        found = {
            "iss": self.url,
            "aud": "mail",
            "exp": now + 300,
            "nbf": now,
            "email": "fred@example.test",
            **changes,
        }
        return {name: value for name, value in found.items() if value is not None}

    def token(self, kid: str = "one", alg: str = "RS256", **changes: Any) -> bytes:
        """A token signed by a key; None leaves a claim out."""
        header = {"alg": alg, "kid": kid}
        key = self.keys[kid]
        return jwt.encode(header, self.claims(**changes), key, algorithms=[alg]).encode()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, path, _ = head.split("\r\n")[0].split(" ")
        length = re.search(r"content-length: ([0-9]+)", head.lower())
        body = await reader.readexactly(int(length[1]) if length else 0)
        self.asked[path] = self.asked.get(path, 0) + 1
        if self.hangs is not None:
            await self.hangs.wait()
        if self.down:
            writer.write(b"HTTP/1.1 503 Down\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        else:
            said = self.raw.get(path) or json.dumps(self._answer(method, path, head, body)).encode()
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n"
                b"content-length: %d\r\n\r\n%b" % (len(said), said)
            )
        await writer.drain()
        writer.close()

    def _answer(self, method: str, path: str, head: str, body: bytes) -> dict[str, Any]:
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        if path == "/keys":
            return {"keys": [key.as_dict(private=False) for key in self.keys.values()]}
        assert (method, path) == ("POST", "/introspect")
        for line in head.split("\r\n"):
            if line.lower().startswith("authorization: basic "):
                self.credentials = base64.b64decode(line.split()[-1]).decode()
        return self.tokens.get(parse_qs(body.decode())["token"][0], {"active": False})
