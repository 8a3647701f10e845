#!/usr/bin/env python3
"""Mail how the run went, with the report, through the server in MAIL_SERVER ("host:port").

MAIL_FROM and MAIL_TO are addresses, the latter with commas. With MAIL_USER and MAIL_PASSWORD the
connection is encrypted (STARTTLS) and logged in to.
"""

import os
import smtplib
from email.message import EmailMessage
from pathlib import Path

LARGEST = 10_000_000
"""Bytes of a report that is attached: many servers refuse more."""

VERDICTS = {
    "0": "every limit is kept",
    "3": "a limit is BREACHED",
    "4": "not resolved by this many paths",
    "5": "NOT RUN: an input is absent or too old",
    "75": "interrupted: what is done is kept",
}


def message() -> EmailMessage:
    """Return the mail: the verdict, and the report where there is one."""
    name, code, report, error = (
        os.environ[f"MARGIN_STRESS_{key}"] for key in ("NAME", "EXIT_CODE", "REPORT", "ERROR")
    )
    mail = EmailMessage()
    mail["From"], mail["To"] = os.environ["MAIL_FROM"], os.environ["MAIL_TO"]
    verdict = VERDICTS.get(code, f"FAILED with exit code {code}")
    mail["Subject"] = f"{name or 'stress test'}: {verdict}"
    mail.set_content("\n".join(line for line in (verdict, error, report) if line))
    if report and Path(report).stat().st_size <= LARGEST:
        page = Path(report).read_text("utf-8")
        mail.add_attachment(page, subtype="html", filename=Path(report).name)
    return mail


if __name__ == "__main__":
    with smtplib.SMTP(os.environ["MAIL_SERVER"], timeout=20) as server:
        if "MAIL_USER" in os.environ:
            server.starttls()
            server.login(os.environ["MAIL_USER"], os.environ["MAIL_PASSWORD"])
        server.send_message(message())
