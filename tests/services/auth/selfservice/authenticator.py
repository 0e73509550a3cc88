"""A passkey in software: what a browser and its authenticator answer (WebAuthn level 2)."""

import hashlib
import json
import os
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url

PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


@dataclass
class SoftKey:
    """One credential. `verify` tells that the user gave his PIN; `count` rises at each use."""

    origin: str = "https://mail.example.test"
    verify: bool = True
    counts: bool = True
    count: int = 0
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    credential: bytes = field(default_factory=lambda: os.urandom(32))
    handle: str = ""
    rp: str = ""

    @property
    def id(self) -> str:
        return bytes_to_base64url(self.credential)

    def create(self, options: str) -> str:
        """Answer navigator.credentials.create with attestation "none"."""
        wanted = json.loads(options)
        self.rp, self.handle = wanted["rp"]["id"], wanted["user"]["id"]
        numbers = self.key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32), -3: numbers.y.to_bytes(32)}
        attested = (
            bytes(16) + len(self.credential).to_bytes(2) + self.credential + cbor2.dumps(cose)
        )
        data = self._data(self._flags() | ATTESTED) + attested
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        return self._answer(
            {
                "clientDataJSON": self._client("webauthn.create", wanted),
                "attestationObject": bytes_to_base64url(attestation),
                "transports": ["internal"],
            }
        )

    def get(self, options: str, *, handle: str | None = None) -> str:
        """Answer navigator.credentials.get."""
        wanted = json.loads(options)
        self.count += self.counts
        data = self._data(self._flags())
        client = self._client("webauthn.get", wanted)
        signed = data + hashlib.sha256(base64url_to_bytes(client)).digest()
        return self._answer(
            {
                "clientDataJSON": client,
                "authenticatorData": bytes_to_base64url(data),
                "signature": bytes_to_base64url(self.key.sign(signed, ec.ECDSA(SHA256()))),
                "userHandle": self.handle if handle is None else handle,
            }
        )

    def _flags(self) -> int:
        return PRESENT | (VERIFIED if self.verify else 0)

    def _data(self, flags: int) -> bytes:
        rp = hashlib.sha256(self.rp.encode()).digest()
        return rp + bytes([flags]) + self.count.to_bytes(4)

    def _client(self, kind: str, wanted: dict[str, Any]) -> str:
        found = {"type": kind, "challenge": wanted["challenge"], "origin": self.origin}
        return bytes_to_base64url(json.dumps(found).encode())

    def _answer(self, response: dict[str, Any]) -> str:
        return json.dumps(
            {"id": self.id, "rawId": self.id, "type": "public-key", "response": response}
        )
