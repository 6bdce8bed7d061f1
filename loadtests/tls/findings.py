"""What `openssl s_client` finds: old versions, weak ciphers, renegotiation, a wrong name."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

PATIENCE = 10
REQUEST = "GET /hello HTTP/1.1\r\nHost: gw.test\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Question:
    what: str
    options: tuple[str, ...]
    said: str = REQUEST
    """What is typed in."""


# Level 0, or the client itself would not offer what is asked about.
_WEAK = ("-cipher", "ALL:@SECLEVEL=0")
QUESTIONS = (
    Question("TLS 1.0", ("-tls1", *_WEAK)),
    Question("TLS 1.1", ("-tls1_1", *_WEAK)),
    Question("TLS 1.2", ("-tls1_2",)),
    Question("TLS 1.3", ("-tls1_3",)),
    Question("1.2 without forward secrecy", ("-tls1_2", "-cipher", "kRSA:@SECLEVEL=0")),
    Question("1.2 with CBC", ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256:@SECLEVEL=0")),
    Question("renegotiation by the client", ("-tls1_2",), "R\n"),
    Question("ALPN h2 only", ("-alpn", "h2")),
    Question("ALPN http/1.1", ("-alpn", "http/1.1")),
    Question("another name by SNI", ("-servername", "other.test")),
    Question("no SNI", ("-noservername",)),
)


def ask(question: Question, port: int) -> str:
    """What it came to, in a few words."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *question.options]
    if not any("servername" in option for option in question.options):
        command += ["-servername", "gw.test"]
    if question.said == REQUEST:
        command.append("-ign_eof")
    try:
        done = subprocess.run(
            command,
            input=question.said.encode(),
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
        text = (done.stdout + done.stderr).decode(errors="replace")
    except subprocess.TimeoutExpired as late:
        text = ((late.stdout or b"") + (late.stderr or b"")).decode(errors="replace")
    return read(text)


def read(text: str) -> str:
    """The words that matter of what `openssl s_client` printed."""
    version = re.search(r"^New, (TLSv[\d.]+|\(NONE\)), Cipher is (\S+)", text, re.MULTILINE)
    parts = []
    if version is not None and version[1] != "(NONE)":
        protocol = re.search(r"^\s*Protocol\s*: (\S+)", text, re.MULTILINE)
        parts.append(f"{protocol[1] if protocol else version[1]}, {version[2]}")
    else:
        parts.append("no handshake")
    alpn = re.search(r"^ALPN protocol: (\S+)", text, re.MULTILINE)
    if alpn is not None:
        parts.append(f"ALPN {alpn[1]}")
    status = re.search(r"^HTTP/1\.1 (\d{3})", text, re.MULTILINE)
    if status is not None:
        parts.append(f"answered {status[1]}")
    if "RENEGOTIATING" in text:
        refused = "no renegotiation" in text.lower() or "ssl3_read_bytes" in text
        parts.append("renegotiation refused" if refused else "renegotiation: see the text")
    alerts: Sequence[str] = re.findall(r"(?:alert|reason:)\s?([a-z ]+)(?=:|$)", text, re.MULTILINE)
    if alerts and parts[0] == "no handshake":
        parts.append("alert: " + alerts[0].strip())
    return "; ".join(parts)
