"""Messages that tests fetch."""

PLAIN = (
    b"Return-Path: <ann@example.test>\r\n"
    b"From: Ann <ann@example.test>\r\n"
    b"To: joe@example.test\r\n"
    b"Subject: Lunch\r\n"
    b"Date: Mon, 3 Feb 2025 10:00:00 +0100\r\n"
    b"Message-ID: <1@example.test>\r\n"
    b"X-Odd: one\r\n"
    b"\r\n"
    b"At noon?\r\n"
)
INNER = b"From: Eve <eve@example.test>\r\nSubject: inner\r\n\r\ninside\r\n"
NESTED = (
    b"From: Ann <ann@example.test>\r\n"
    b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
    b"MIME-Version: 1.0\r\n"
    b'Content-Type: multipart/mixed; boundary="b"\r\n'
    b"\r\n"
    b"preamble\r\n"
    b"--b\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"\r\n"
    b"first part"
    b"\r\n--b\r\n"
    b"Content-Type: message/rfc822\r\n"
    b"\r\n" + INNER + b"\r\n--b--\r\n"
)


def numbered(count: int) -> list[bytes]:
    """Return small messages with subjects s1, s2, ..."""
    return [
        b"From: a@example.test\r\nSubject: s%d\r\n\r\nbody %d\r\n" % (n, n)
        for n in range(1, count + 1)
    ]
