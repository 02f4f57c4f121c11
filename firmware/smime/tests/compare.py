"""Compares letters before and after signing with Python's email package: every leaf has the same type, the same
fields and the same decoded content, and the header of the message says the same."""

import email
import pathlib
import re
import sys


def leaves(entity, path="0"):
    if entity.is_multipart():
        yield path, entity, None
        for i, part in enumerate(entity.get_payload()):
            yield from leaves(part, f"{path}.{i}")
    else:
        yield path, entity, entity.get_payload(decode=True)


def fields(entity):
    skip = {"content-transfer-encoding", "mime-version", "received"}
    return [(name, str(value)) for name, value in entity.items() if name.lower() not in skip]


def main():
    failures = 0
    names = sorted(pathlib.Path(sys.argv[1]).glob("*.in"))
    assert names
    for name in names:
        before = email.message_from_bytes(name.read_bytes())
        after = email.message_from_bytes(name.with_suffix(".out").read_bytes())

        def wrong(what, *details):
            nonlocal failures
            failures += 1
            print(name.stem, what, *details, sep=": ")

        if after.get_content_type() != "multipart/signed" or len(after.get_payload()) != 2:
            wrong("not signed", after.get_content_type())
            continue
        if not after["MIME-Version"]:
            wrong("no MIME-Version")
        content, signature = after.get_payload()
        if signature.get_content_type() != "application/pkcs7-signature":
            wrong("signature", signature.get_content_type())
        outside = [f for f in fields(before) if not f[0].lower().startswith("content-")]
        if outside != [f for f in fields(after) if f[0] != "Content-Type"]:
            wrong("outer fields differ")
        old, new = list(leaves(before)), list(leaves(content))
        if [p for p, _, _ in old] != [p for p, _, _ in new]:
            wrong("structure differs", [p for p, _, _ in old], [p for p, _, _ in new])
            continue
        for (path, a, body_a), (_, b, body_b) in zip(old, new):
            if a.get_content_type() != b.get_content_type():
                wrong(path, "type", a.get_content_type(), b.get_content_type())
            if path != "0" and fields(a) != fields(b):
                wrong(path, "fields differ", fields(a), fields(b))
            # White space at the end of a quoted-printable line means nothing (RFC 2045 section 6.7, rule 3).
            if a.get("Content-Transfer-Encoding") == "quoted-printable":
                body_a, body_b = (re.sub(rb"[ \t]+(\r\n|$)", rb"\1", x) for x in (body_a, body_b))
            # Without a closing delimiter readers disagree whether the last line end is content; it is carried.
            if body_b == (body_a or b"") + b"\r\n" and any(p.defects for p in before.walk()):
                body_b = body_a
            if body_a != body_b:
                wrong(path, "content differs", body_a[:300], body_b[:300])
    sys.exit(1 if failures else 0)


main()
