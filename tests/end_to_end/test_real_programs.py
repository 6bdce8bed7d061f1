"""nginx behind it, curl and wrk before it: programs that do not share our reading of HTTP."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from pathlib import Path

from rig.configs import config
from rig.kinds import StartGateway, StartNginx, StartUpstream
from rig.programs import curl, program
from rig.scale import amount


def test_curl_gets_a_file_from_nginx(
    gateway: StartGateway, nginx: StartNginx, tmp_path: Path
) -> None:
    web = nginx()
    content = os.urandom(3_000_000)
    (web.html / "file").write_bytes(content)
    running = gateway(config(web.address))
    target = tmp_path / "got"
    done = curl("-o", str(target), "-w", "%{http_code}", f"{running.url}/file")
    assert done.stdout == "200", done.stderr
    assert hashlib.sha256(target.read_bytes()).digest() == hashlib.sha256(content).digest()
    part = curl("-r", "10-19", "-o", str(target), "-w", "%{http_code}", f"{running.url}/file")
    assert part.stdout == "206"
    assert target.read_bytes() == content[10:20]
    assert curl("-I", f"{running.url}/file").stdout.startswith("HTTP/1.1 200")


def test_curl_keeps_its_connection(gateway: StartGateway, nginx: StartNginx) -> None:
    running = gateway(config(nginx().address))
    done = curl("-v", *[f"{running.url}/hello"] * 3)
    assert done.stdout == "hello from nginx\n" * 3
    assert done.stderr.count("Re-using existing connection") == 2


def test_conditional_requests_pass(gateway: StartGateway, nginx: StartNginx) -> None:
    web = nginx()
    (web.html / "page").write_text("page")
    running = gateway(config(web.address))
    head = curl("-I", f"{running.url}/page").stdout
    tag = re.search(r"(?i)etag: (\S+)", head)
    assert tag is not None
    again = curl("-i", "-H", f"If-None-Match: {tag[1]}", f"{running.url}/page").stdout
    assert again.startswith("HTTP/1.1 304")


def test_nginx_refuses_what_it_would_from_anybody(gateway: StartGateway, nginx: StartNginx) -> None:
    running = gateway(config(nginx().address))
    assert curl("-w", "%{http_code}", "-o", os.devnull, f"{running.url}/none").stdout == "404"


def test_curl_uploads_to_nginx(gateway: StartGateway, nginx: StartNginx, tmp_path: Path) -> None:
    web = nginx(
        locations="location /put/ { dav_methods PUT; create_full_put_path on; }"
        if _nginx_has_dav()
        else "location /put/ { return 201; }"
    )
    content = os.urandom(2_000_000)
    source = tmp_path / "source"
    source.write_bytes(content)
    running = gateway(config(web.address))
    for extra in ((), ("-H", "Transfer-Encoding: chunked")):
        done = curl(
            *("-T", str(source), "-w", "%{http_code}", "-o", os.devnull),
            *extra,
            f"{running.url}/put/file",
        )
        assert done.stdout in ("201", "204"), done.stderr
        if _nginx_has_dav():
            assert (web.html / "put" / "file").read_bytes() == content


def _nginx_has_dav() -> bool:
    said = subprocess.run([program("nginx"), "-V"], capture_output=True, text=True, check=True)
    return "http_dav_module" in said.stderr


def test_wrk_sees_no_error(gateway: StartGateway, nginx: StartNginx) -> None:
    wrk = program("wrk")
    running = gateway(config(nginx().address, server=('access_log = "off"',)), workers=1)
    seconds = amount(1, 10)
    done = subprocess.run(
        [wrk, "-t1", "-c64", f"-d{seconds}s", f"{running.url}/hello"],
        capture_output=True,
        text=True,
        timeout=seconds + 30,
        check=True,
    )
    assert "Socket errors" not in done.stdout, done.stdout
    assert "Non-2xx" not in done.stdout, done.stdout
    assert "requests in" in done.stdout


def test_nginx_that_closes_after_few_requests_is_noticed_by_nobody(
    gateway: StartGateway, nginx: StartNginx
) -> None:
    web = nginx(locations="keepalive_requests 3;")
    running = gateway(config(web.address))
    done = curl("-w", "%{http_code} ", "-o", os.devnull, f"{running.url}/hello?[1-40]")
    assert done.stdout.split() == ["200"] * 40


def test_both_programs_over_ipv6(gateway: StartGateway, upstream: StartUpstream) -> None:
    running = gateway(config(upstream().address, server=('bind = ["[::1]:0"]',)))
    assert curl("-g", f"{running.url}/x").stdout == "ok\n"
