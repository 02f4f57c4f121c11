"""Reads a report with Python's email package and prints what it understood, one thing a line."""

import email
import email.policy
import sys


def show(prefix, headers):
    for name, value in headers:
        print(f"{prefix} {name.lower()}={value}")


def main():
    sys.stdout.reconfigure(encoding="utf-8")
    with open(sys.argv[1], "rb") as file:
        octets = file.read()
    report = email.message_from_bytes(octets, policy=email.policy.compat32)
    assert not report.defects, report.defects
    assert report.get_content_type() == "multipart/report"
    assert report["From"] and report["Message-ID"] and report["MIME-Version"] == "1.0"
    kind = report.get_param("report-type")
    to = email.utils.parseaddr(report["To"])[1]
    print(f"multipart/report {kind} to={to} auto-submitted={report['Auto-Submitted']}")
    text, status, returned = report.get_payload()
    for part in (text, status, returned):
        assert not part.defects, part.defects
    print("part", text.get_content_type())
    text.get_payload(decode=True).decode(text.get_content_charset())
    print("part", status.get_content_type())
    message, *recipients = status.get_payload()
    show("message", message.items())
    for recipient in recipients:
        show("recipient", recipient.items())
    print("part", returned.get_content_type())
    if returned.get_content_maintype() == "message":
        header = returned.get_payload()[0]
    else:
        header = email.message_from_string(returned.get_payload(decode=True).decode("utf-8"))
    for name in ("Subject", "From"):
        print(f"returned {name.lower()}={header[name]}")


main()
