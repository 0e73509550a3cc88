"""Certificates of a stack: the internal CA for calls to auth, and the public certificate.

A key is made once and never replaced; a certificate of ours that has fewer than RENEW_DAYS left is
replaced in one step by a new one for the same key. So a crash between key and certificate does no
harm: the next run signs for the key that is there. Certificates that our CA did not sign, and the
public one, are the operator's to renew.
"""

import datetime
from typing import Final, cast

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from restante.cli.cert import self_signed
from restante.cli.init_files import MAIL, Kept, Place
from restante.model import ErrorKind, MailError

TLS_CERTIFICATE: Final = Kept("tls.crt", mode=0o444)
TLS_KEY: Final = Kept("tls.key", mode=0o440)  # for exim and the balancer, who are in the group
CA_CERTIFICATE: Final = Kept("ca.crt", mode=0o444)
CA_KEY: Final = Kept("ca.key", 0, 0)  # for this command alone
AUTH_CERTIFICATE: Final = Kept("auth.crt", mode=0o444)
AUTH_KEY: Final = Kept("auth.key")
CLIENT_CERTIFICATE: Final = Kept("client.crt", mode=0o444)
CLIENT_KEY: Final = Kept("client.key", MAIL, MAIL, 0o440)

TLS: Final = (TLS_CERTIFICATE, TLS_KEY)
RPC: Final = (
    CA_CERTIFICATE,
    CA_KEY,
    AUTH_CERTIFICATE,
    AUTH_KEY,
    CLIENT_CERTIFICATE,
    CLIENT_KEY,
)

RENEW_DAYS: Final = 30
LEAF_DAYS: Final = 825
_CA_DAYS: Final = 20 * 365
_AUTH_NAMES: Final = ("auth", "localhost")
_DAY: Final = datetime.timedelta(days=1)


def make_public(place: Place, hosts: list[str]) -> str:
    """Make a self-signed certificate for `hosts` where there is none.

    Returns a warning about the one that is there, or "". Raises MailError(CANNOT) where it and its
    key do not fit each other.
    """
    if not place.has(TLS_KEY):
        if place.has(TLS_CERTIFICATE):
            raise _refused(place, TLS_CERTIFICATE, f"is there, but its key {TLS_KEY.name} is not")
        place.write(TLS_KEY, _new_key())
    if not place.has(TLS_CERTIFICATE):
        try:
            made = self_signed(_key(place, TLS_KEY), hosts)
        except ValueError as error:
            text = f"cannot make a certificate for {', '.join(hosts)}: {error}"
            raise MailError(ErrorKind.CANNOT, text) from None
        place.write(TLS_CERTIFICATE, made)
    for kept in TLS:
        place.check_reader(kept)
    certificate = _certificate(place, TLS_CERTIFICATE)
    if certificate.public_key() != _key(place, TLS_KEY).public_key():
        raise _refused(place, TLS_CERTIFICATE, f"does not belong to the key {TLS_KEY.name}")
    left = certificate.not_valid_after_utc - _now()
    if left < RENEW_DAYS * _DAY:
        path = place.directory / TLS_CERTIFICATE.name
        return f"{path} ends at {certificate.not_valid_after_utc:%Y-%m-%d}: renew it"
    return ""


def make_internal(place: Place, names: list[str]) -> None:
    """Make the CA and both leaves, or renew leaves. `names`: more names of auth's.

    Raises MailError(CANNOT).
    """
    leaves = (
        (AUTH_KEY, AUTH_CERTIFICATE, [*_AUTH_NAMES, *names], True),
        (CLIENT_KEY, CLIENT_CERTIFICATE, ["restante"], False),
    )
    if not place.has(CA_KEY) and not place.has(CA_CERTIFICATE):
        place.write(CA_KEY, _new_key())
    if place.has(CA_KEY) and not place.has(CA_CERTIFICATE):
        place.write(CA_CERTIFICATE, _authority(place))
    for key, certificate, hosts, server in leaves:
        if not place.has(CA_KEY):  # the operator's own CA, whose key is elsewhere
            for kept in (key, certificate):
                if not place.has(kept):
                    text = f"is missing, and without {CA_KEY.name} it cannot be made"
                    raise _refused(place, kept, text)
        elif not place.has(key):
            if place.has(certificate):
                raise _refused(place, certificate, f"is there, but its key {key.name} is not")
            place.write(key, _new_key())
        if not place.has(certificate) or (place.has(CA_KEY) and _ends(place, certificate, hosts)):
            place.write(certificate, _leaf(place, key, hosts, server=server))
        place.check_reader(key)
        place.check_reader(certificate)
        if _certificate(place, certificate).public_key() != _key(place, key).public_key():
            raise _refused(place, certificate, f"does not belong to the key {key.name}")
    place.check_reader(CA_CERTIFICATE)


def _ends(place: Place, kept: Kept, hosts: list[str]) -> bool:
    """True for a certificate of our CA that ends soon, or lacks a name."""
    certificate = _certificate(place, kept)
    try:
        certificate.verify_directly_issued_by(_certificate(place, CA_CERTIFICATE))
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    named = found.value.get_values_for_type(x509.DNSName)
    ends = certificate.not_valid_after_utc - _now() < RENEW_DAYS * _DAY
    return ends or not set(hosts) <= set(named)


def _authority(place: Place) -> bytes:
    key = _key(place, CA_KEY)
    name = _name("Restante internal CA")
    return (
        _builder(key)
        .subject_name(name)
        .issuer_name(name)
        .not_valid_after(_now() + _CA_DAYS * _DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .add_extension(_usage(signs=True), True)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )


def _leaf(place: Place, key: Kept, hosts: list[str], *, server: bool) -> bytes:
    ca, ca_key = _certificate(place, CA_CERTIFICATE), _key(place, CA_KEY)
    if ca.public_key() != ca_key.public_key():
        raise _refused(place, CA_CERTIFICATE, f"does not belong to the key {CA_KEY.name}")
    ends = min(_now() + LEAF_DAYS * _DAY, ca.not_valid_after_utc)
    use = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    return (
        _builder(_key(place, key))
        .subject_name(_name(hosts[0]))
        .issuer_name(ca.subject)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        .add_extension(_usage(signs=False), True)
        .add_extension(x509.ExtendedKeyUsage([use]), False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(h) for h in hosts]), False)
        .add_extension(authority, False)
        .sign(ca_key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )


def _builder(key: CertificateIssuerPrivateKeyTypes) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - datetime.timedelta(hours=1))  # for clocks that are behind
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _new_key() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _key(place: Place, kept: Kept) -> CertificateIssuerPrivateKeyTypes:
    try:
        found = serialization.load_pem_private_key(place.read(kept), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _refused(place, kept, "is not a private key in PEM without a password") from None
    return cast(CertificateIssuerPrivateKeyTypes, found)


def _certificate(place: Place, kept: Kept) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificates(place.read(kept))[0]
    except ValueError:
        raise _refused(place, kept, "is not a certificate in PEM") from None


def _refused(place: Place, kept: Kept, why: str) -> MailError:
    return MailError(ErrorKind.CANNOT, f"{place.directory / kept.name} {why}")


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
