"""What a service tells of itself at each scrape."""

import datetime
from pathlib import Path

from cryptography import x509

import restante
from restante.cli.cert import make_certificate
from restante.runtime import facts
from restante.runtime.metrics import render
from restante.runtime.settings import ServiceSettings


def told(settings: ServiceSettings) -> str:
    return render(facts.of(settings), "imap").decode()


def test_version_and_limits(tmp_path: Path) -> None:
    text = told(ServiceSettings(data=tmp_path, max_connections=123))
    assert f'restante_build_info{{service="imap",version="{restante.__version__}",' in text
    assert 'restante_limit{service="imap",name="connections"} 123\n' in text
    assert 'name="recipients"' not in text, "only what the service has"


def test_every_certificate_tells_its_end(tmp_path: Path) -> None:
    certificate = tmp_path / "tls" / "cert.pem"
    sni = tmp_path / "sni"
    settings = ServiceSettings(data=tmp_path, tls_certificate=certificate, tls_sni=sni)
    make_certificate(certificate, tmp_path / "tls" / "key.pem", ["localhost"])
    other = sni / "mail.example.org" / "tls.crt"
    make_certificate(other, other.with_name("tls.key"), ["mail.example.org"])
    (sni / "broken.example.org").mkdir()
    (sni / "broken.example.org" / "tls.crt").write_text("half of a certifi")
    end = x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
    (values,) = [f[6] for f in facts.of(settings) if "certificate_expiry" in f[0]]
    assert values.keys() == {(str(certificate),), (str(other),)}
    seconds = values[str(certificate),]
    assert isinstance(seconds, float)
    assert datetime.datetime.fromtimestamp(seconds, datetime.UTC) == end
