"""A SCRAM-SHA-256 client (RFC 5802, RFC 7677), to try servers with."""

import base64
import hashlib
import hmac


class ScramClient:
    """first(), then final(server-first), then check(server-final)."""

    def __init__(
        self,
        user: str,
        password: str,
        *,
        header: str = "n,,",
        binding: bytes = b"",
        nonce: str = "fyko+d2lbbFgONRv9qkxdawL",
    ) -> None:
        self.password, self.header, self.binding = password, header, binding
        escaped = user.replace("=", "=3D").replace(",", "=2C")
        self.bare = f"n={escaped},r={nonce}"
        self.message = b""
        self._signature = b""

    def first(self) -> bytes:
        return (self.header + self.bare).encode()

    def final(self, server_first: bytes) -> bytes:
        fields = dict(part.split("=", 1) for part in server_first.decode().split(","))
        bound = base64.b64encode(self.header.encode() + self.binding).decode()
        without_proof = f"c={bound},r={fields['r']}"
        self.message = b",".join((self.bare.encode(), server_first, without_proof.encode()))
        salt, rounds = base64.b64decode(fields["s"]), int(fields["i"])
        proof = self.proof(salt, rounds)
        return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()

    def proof(self, salt: bytes, rounds: int) -> bytes:
        salted = hashlib.pbkdf2_hmac("sha256", self.password.encode(), salt, rounds)
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        server_key = hmac.digest(salted, b"Server Key", "sha256")
        signature = hmac.digest(hashlib.sha256(client_key).digest(), self.message, "sha256")
        self._signature = hmac.digest(server_key, self.message, "sha256")
        return bytes(a ^ b for a, b in zip(client_key, signature, strict=True))

    def accepts(self, signature: bytes) -> bool:
        """True where the server knows the password, too."""
        return hmac.compare_digest(signature, self._signature)

    def check(self, server_final: bytes) -> bool:
        return server_final[:2] == b"v=" and self.accepts(base64.b64decode(server_final[2:]))
