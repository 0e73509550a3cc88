"""Messages at the edges of the formats, by name; CRLF line ends."""


def _crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode("utf-8")


_MULTI = 'Content-Type: multipart/mixed; boundary="x"\n'

ODD = {
    "no_end": b"Subject: header alone",
    "one_line": b"Subject: x\r\n\r\nno line end",
    "folded": _crlf("Subject: one\n\ttwo\n   three\nFrom: a@b\n (comment) \n\nbody\n"),
    "addresses": _crlf(
        'From: a@b, "Q \\"x\\" \\\\ y" <c@d>, <e@f>, g, (old) h@i (Name In Comment)\n'
        "To: <@relay,@other:j@k>, undisclosed:;\n"
        "Cc: A B C <abc@example.test>, =?utf-8?q?K=C3=B6ln?= <k@example.test>\n\nx\n"
    ),
    "two_froms": _crlf("From: a@b\nFrom: c@d\nSubject: one\nSubject: two\n\nx\n"),
    "empty_fields": _crlf("From:\nTo: \nSubject:\nDate:\nMessage-ID:\nIn-Reply-To:\n\nx\n"),
    "bad_header": _crlf("From: a@b\nthis is no field\nSubject: s\n\nx\n"),
    "space_colon": _crlf("From : a@b\nSubject : s\n\nx\n"),
    "quotes": _crlf('Subject: a "quoted" \\ back\nFrom: "a\\"b" <x@y>\n\nx\n'),
    "control": b"Subject: a\x01b\tc\r\nFrom: a@b\r\n\r\nx\r\n",
    "eight_bit": b"Subject: \xe4\xf6\r\nFrom: \xfc <a@b>\r\n\r\n\xe4\r\n",
    "long_line": _crlf("Subject: " + "x" * 3000 + "\n\n" + "y" * 3000 + "\n"),
    "types": _crlf(
        'Content-Type: TEXT/Plain; CharSet="UTF-8"; format=flowed (comment)\n'
        "Content-Transfer-Encoding: 8BIT\nContent-Disposition: INLINE\n"
        "Content-Language: en\n\nx\n"
    ),
    "bad_type": _crlf("Content-Type: nonsense\n\nx\n"),
    "empty_type": _crlf("Content-Type:\n\nx\n"),
    "unknown_encoding": _crlf("Content-Transfer-Encoding: x-uu\n\nx\n"),
    "rfc2231": _crlf(
        "Content-Type: application/octet-stream; name*0*=utf-8''%e2%82%ac; name*1*=%20x\n"
        "Content-Disposition: attachment; filename*=utf-8''%e2%82%ac.txt\n\nx\n"
    ),
    "no_boundary": _crlf("Content-Type: multipart/mixed\n\n--x\n\na\n--x--\n"),
    "boundary_never": _crlf(_MULTI + "\nnothing here\n"),
    "empty_multipart": _crlf(_MULTI + "\n--x--\n"),
    "empty_parts": _crlf(_MULTI + "\n--x\n--x\n\n--x\n\n\n--x--\n"),
    "unclosed": _crlf(_MULTI + "\n--x\n\none\n--x\n\ntwo\n"),
    "boundary_spaces": _crlf(_MULTI + "\n--x  \n\none\n--x\t\n\ntwo\n--x--  \nafter\n"),
    "boundary_prefix": _crlf(
        'Content-Type: multipart/mixed; boundary="x"\n\n--x\n'
        'Content-Type: multipart/alternative; boundary="xy"\n\n--xy\n\na\n--xy\n\nb\n--xy--\n'
        "--x\n\nc\n--x--\n"
    ),
    "message_of_multipart": _crlf(
        "Content-Type: message/rfc822\n\nSubject: in\n"
        + _MULTI
        + "\n--x\n\none\n--x\nContent-Type: text/html\n\ntwo\n--x--\n"
    ),
    "message_in_message": _crlf(
        "Content-Type: message/rfc822\n\nSubject: one\nContent-Type: message/rfc822\n\n"
        "Subject: two\nFrom: a@b\n\ndeep\n"
    ),
    "multipart_message": _crlf(
        _MULTI + "\n--x\n\ntext\n--x\nContent-Type: image/gif\n\ngif\n"
        "--x\nContent-Type: message/rfc822\n\nSubject: in\n"
        'Content-Type: multipart/alternative; boundary="y"\n\n'
        "--y\n\nplain\n--y\nContent-Type: text/html\n\nhtml\n--y--\n--x--\n"
    ),
    "empty_message_part": _crlf(_MULTI + "\n--x\nContent-Type: message/rfc822\n\n--x--\n"),
    "signed": _crlf(
        'Content-Type: multipart/signed; boundary="x"; protocol="application/pgp-signature"\n\n'
        "--x\n\nsaid\n--x\nContent-Type: application/pgp-signature; name=a.asc\n\nsig\n--x--\n"
    ),
}
