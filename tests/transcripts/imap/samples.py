"""Messages of the transcripts, by name; CRLF line ends."""


def _crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode("utf-8")


SAMPLES = {
    "plain": _crlf(
        """\
Date: Mon, 3 Feb 2025 10:00:00 +0100
From: Ann <ann@example.test>
To: joe@example.test
Subject: Lunch
Message-ID: <1@example.test>

At noon?
"""
    ),
    "reply": _crlf(
        """\
Date: Tue, 4 Feb 2025 00:30:00 +0200
From: =?iso-8859-1?q?J=F6rg?= <joerg@example.test>
Sender: office@example.test
Reply-To: Office <office@example.test>
To: friends: "B, C" <bc@example.test>, d@example.test;, e@example.test
Cc: undisclosed-recipients:;
Bcc: secret@example.test
Subject: Re: Lunch
 at noon
In-Reply-To: <1@example.test>
Message-ID: <2@example.test>
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

Stra=DFe
"""
    ),
    "mixed": _crlf(
        """\
From: ann@example.test
Subject: files
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="outer"
Content-Language: en, de

preamble
--outer
Content-Type: multipart/alternative; boundary=inner

--inner
Content-Type: text/plain; charset=utf-8

words
--inner
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: base64

PGI+d29yZHM8L2I+Cg==
--inner--

--outer
Content-Type: image/png; name="a b.png"
Content-Transfer-Encoding: base64
Content-Disposition: attachment; filename="a b.png"
Content-ID: <img@example.test>
Content-Description: a picture
Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==
Content-Location: http://example.test/a.png

iVBORw0KGgo=
--outer
Content-Type: message/rfc822

From: Eve <eve@example.test>
Subject: inside
Content-Type: text/plain

deep
--outer--
epilogue
"""
    ),
    "bare": _crlf("Subject: nothing else\n\n"),
    "headerless": _crlf("\nbody only\n"),
    "digest": _crlf(
        """\
From: list@example.test
Content-Type: multipart/digest; boundary=d

--d

From: one@example.test
Subject: one

1
--d

From: two@example.test
Subject: two

2
--d--
"""
    ),
    "utf8": _crlf("From: Jürgen <j@example.test>\nSubject: Grüße\n\nschön\n"),
}
