"""Throwaway certificate authorities, for servers and for clients."""

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
_LATER = datetime.datetime(2099, 1, 1, tzinfo=datetime.UTC)


class Authority:
    """Issues certificates; everything lies in one directory, `certificate` is the authority's."""

    def __init__(self, folder: Path, name: str = "throwaway CA") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._issued = folder, 0
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        made = (
            _builder(self._name, self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.certificate = folder / "ca.pem"
        self.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))

    def issue(self, *names: str) -> tuple[Path, Path]:
        """Return certificate and key of a server, as files, for host names and IP addresses."""
        return self._sign(names[0], [_host(name) for name in names])

    def issue_client(self, common: str, *mail: str) -> tuple[Path, Path]:
        """Return certificate and key of a client with a common name and mail addresses."""
        return self._sign(common, [x509.RFC822Name(name) for name in mail])

    def _sign(self, common: str, names: list[x509.GeneralName]) -> tuple[Path, Path]:
        self._issued += 1
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(common), self._name, key.public_key())
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        made = builder.sign(self._key, hashes.SHA256())
        certificate, private = (self._folder / f"{self._issued}.{end}" for end in ("pem", "key"))
        certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return certificate, private


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_LONG_AGO)
        .not_valid_after(_LATER)
    )
