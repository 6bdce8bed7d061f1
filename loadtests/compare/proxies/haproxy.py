"""HAProxy. Its tokens are judged as its own documentation shows: algorithm, issuer, audience,
signature and expiry, anew for every request. It has no aggregates."""

from __future__ import annotations

from loadtests.compare.place import Place, Setup
from loadtests.compare.tokens import AUDIENCE, ISSUER

HEAD = """
global
  nbthread 1
  maxconn 8000
  tune.ssl.cachesize 0
  log stdout format raw local0 info
defaults
  mode http
  log global
  option httplog
  timeout connect 5s
  timeout client 60s
  timeout server 60s
"""
"""How a configuration begins, as text to be formatted. No sessions are kept that only one process
could resume."""
FORWARDS = """
  option forwardfor
  http-reuse always
"""
"""What stands behind `HEAD` for plain requests."""
CONFIG = (
    HEAD
    + FORWARDS
    + """\
frontend front
  bind 127.0.0.1:{port}
{rules}
  unique-id-format %{{+X}}o%ci:%cp_%rt:%pid
  http-request set-header X-Request-Id %[unique-id]
  http-request set-header X-Forwarded-Proto http
  default_backend service
backend service
  server one 127.0.0.1:{upstream} pool-max-conn 256
"""
)
_TOKENS = """
  http-request set-var(txn.token) http_auth_bearer
  http-request set-var(txn.alg) var(txn.token),jwt_header_query('$.alg')
  http-request set-var(txn.iss) var(txn.token),jwt_payload_query('$.iss')
  http-request set-var(txn.aud) var(txn.token),jwt_payload_query('$.aud')
  http-request set-var(txn.exp) var(txn.token),jwt_payload_query('$.exp','int')
  http-request set-var(txn.now) date()
  http-request deny deny_status 401 unless {{ var(txn.alg) -m str RS256 }}
  http-request deny deny_status 401 unless {{ var(txn.iss) -m str {issuer} }}
  http-request deny deny_status 401 unless {{ var(txn.aud) -m str {audience} }}
  http-request deny deny_status 401 unless {{ var(txn.token),jwt_verify(txn.alg,"{pem}") 1 }}
  http-request deny deny_status 401 if {{ var(txn.exp),sub(txn.now) -m int lt 0 }}
"""
_LIMIT = """
  stick-table type ip size 1m expire 2h store http_req_rate({period})
  http-request track-sc0 src
  http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt {most} }}
"""


def plain(place: Place) -> Setup:
    return _setup(place, _LIMIT.format(period="1s", most=1_000_000))


def tokens(place: Place) -> Setup:
    pem = place.room / "issuer.pem"
    setup = _setup(
        place,
        _LIMIT.format(period="1s", most=1_000_000)
        + _TOKENS.format(issuer=ISSUER, audience=AUDIENCE, pem=pem),
    )
    setup.files[pem.name] = place.keys.pem
    return setup


def limited(place: Place) -> Setup:
    return _setup(place, _LIMIT.format(period="1h", most=1))


def _setup(place: Place, rules: str) -> Setup:
    text = CONFIG.format(port=place.port, upstream=place.upstream, rules=rules)
    return Setup({"haproxy.cfg": text}, ["haproxy", "-db", "-f", f"{place.room}/haproxy.cfg"])
