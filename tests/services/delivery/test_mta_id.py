"""The id that the sending MTA gave a message: found in Received, whatever stands there."""

import pytest

from services.delivery.trace import mta_id_of

EXIM = (
    b"Received: from mail.example ([192.0.2.1] helo=by.id.example)\r\n"
    b"\tby mx.example.org with esmtps  (TLS1.3) tls TLS_AES_256_GCM_SHA384\r\n"
    b"\t(Exim 4.96)\r\n\t(envelope-from <ann@example.test>)\r\n"
    b"\tid 1tABCd-000123-4X\r\n\tfor joe@example.test;\r\n\tSun, 22 Nov 2026 15:00:00 +0000\r\n"
)
POSTFIX = (
    b"Received: by mail.example.org (Postfix, from userid 0)\n"
    b"\tid 4Xz12AbCdEf; Sun, 22 Nov 2026 15:00:00 +0000 (UTC)\n"
)
REST = b"Subject: id 99-attack\r\n\r\nReceived: by x with y id BODY1;\r\n"


@pytest.mark.parametrize(
    ("head", "id"),
    [
        (EXIM + REST, "1tABCd-000123-4X"),
        (b"DKIM-Signature: v=1;\r\n\tb=a\r\n" + EXIM + POSTFIX + REST, "1tABCd-000123-4X"),
        (POSTFIX + EXIM + REST, "4Xz12AbCdEf"),
        (b"received:by a with local (x (id no) id no) id  <1a2b3c@d>;", ""),
        (b"RECEIVED : by a with local id <1a2b3c> ; now", "1a2b3c"),
        (b"Received: from id by by by id 12345;", "12345"),
        (b"Received: from x by y id;\r\n\r\n", ""),
        (b"Received: from x by y id a\x1b[31m;\r\n", ""),
        (b"Received: from x by y id \xc3\xa4\xc3\xb6\xc3\xbc12;\r\n", ""),
        (b"Received: from x by y id " + b"a" * 65 + b";\r\n", ""),
        (b"Received: from x by y with z; id 1tABCd-000123-4X\r\n", ""),
        (b"X-Received: by y id 12345;\r\n\r\n", ""),
        (REST, ""),
        (b"", ""),
        (b"Received: " + b"(" * 100_000, ""),
        (b"Received: by x id " + b"(a)" * 50_000 + b" 12345;", ""),
    ],
)
def test_ids(head: bytes, id: str) -> None:
    assert mta_id_of(head) == id
