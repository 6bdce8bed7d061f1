"""Who asks, and what the upstream is told about it (SEC-08, SEC-14, SEC-35, SEC-38)."""

from __future__ import annotations

from tables.case import PROXY, Case, Seen, get, passed, refused

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def _spoofed(name: str, *fields: str, sec: str = "SEC-14") -> Case:
    return passed(name, sec, get(*fields), Seen())


def _from_proxy(name: str, *fields: str, **forwarded: str) -> Case:
    names = {key.replace("_", "-"): value for key, value in forwarded.items()}
    return passed(name, "SEC-38", get(*fields), Seen(forwarded=names), source=PROXY)


CASES = (
    # Identity fields are the gateway's, on every route.
    _spoofed("claim-field", "X-User-Id: root"),
    _spoofed("claim-field-small", "x-user-id: root"),
    _spoofed("claim-field-capitals", "X-USER-ID: root"),
    _spoofed("claim-field-underscores", "X_User_Id: root"),
    _spoofed("claim-field-one-underscore", "X-User_Id: root"),
    _spoofed("claim-field-dots", "X.User.Id: root"),
    _spoofed("claim-field-twice", "X-User-Id: root", "x_user_id: root", "X-User-ID: admin"),
    # So are those about where a request came from.
    _spoofed("forwarded-for", "X-Forwarded-For: 192.0.2.1", sec="SEC-38"),
    _spoofed("forwarded-for-twice", "X-Forwarded-For: a", "x-forwarded-for: b", sec="SEC-38"),
    _spoofed("forwarded-for-underscore", "X_Forwarded_For: 192.0.2.1", sec="SEC-38"),
    _spoofed("forwarded-host", "X-Forwarded-Host: evil.test", sec="SEC-38"),
    _spoofed("forwarded-proto", "X-Forwarded-Proto: https", sec="SEC-38"),
    _spoofed("forwarded-port", "X-Forwarded-Port: 1", sec="SEC-38"),
    _spoofed("forwarded-server", "X-Forwarded-Server: evil", sec="SEC-38"),
    _spoofed("forwarded-prefix", "X-Forwarded-Prefix: /evil", sec="SEC-38"),
    _spoofed("forwarded", "Forwarded: for=192.0.2.1;host=evil.test", sec="SEC-38"),
    _spoofed("real-ip", "X-Real-IP: 192.0.2.1", sec="SEC-38"),
    _spoofed("request-id", "X-Request-Id: mine", sec="SEC-38"),
    passed(
        "via-is-kept",
        "SEC-01",
        get("Via: 1.0 somewhere"),
        Seen(fields=("Via: 1.0 somewhere",)),
    ),
    passed(
        "trace-is-passed-on",
        "SEC-01",
        get(f"traceparent: {TRACE}"),
        Seen(forwarded={"traceparent": TRACE}),
    ),
    _spoofed("bad-trace-is-replaced", "traceparent: mine", sec="SEC-01"),
    # Behind a trusted proxy.
    _from_proxy("proxy-alone", x_forwarded_for=PROXY),
    _from_proxy(
        "proxy-forwards-for",
        "X-Forwarded-For: 192.0.2.1",
        x_forwarded_for=f"192.0.2.1, {PROXY}",
    ),
    _from_proxy(
        "proxy-forwards-for-twice",
        "X-Forwarded-For: 192.0.2.1",
        "X-Forwarded-For: 192.0.2.9",
        x_forwarded_for=f"192.0.2.1, 192.0.2.9, {PROXY}",
    ),
    _from_proxy(
        "proxy-forwards-host-and-proto",
        "X-Forwarded-Host: public.test",
        "X-Forwarded-Proto: https",
        x_forwarded_for=PROXY,
        x_forwarded_host="public.test",
        x_forwarded_proto="https",
    ),
    _from_proxy("proxy-forwards-odd-proto", "X-Forwarded-Proto: javascript", x_forwarded_for=PROXY),
    _from_proxy(
        "proxy-gives-an-id",
        "X-Request-Id: abc.DEF-1_2",
        x_forwarded_for=PROXY,
        x_request_id="abc.DEF-1_2",
    ),
    _from_proxy("proxy-gives-a-bad-id", "X-Request-Id: a b", x_forwarded_for=PROXY),
    _from_proxy("proxy-gives-a-long-id", "X-Request-Id: " + "a" * 65, x_forwarded_for=PROXY),
    # Credentials.
    refused(
        "two-authorizations", "SEC-35", get("Authorization: Bearer a", "Authorization: Bearer b")
    ),
    passed(
        "authorization-is-passed-on",
        "SEC-35",
        get("Authorization: Basic Zm9vOmJhcg=="),
        Seen(fields=("Authorization: Basic Zm9vOmJhcg==",)),
    ),
    refused("token-in-query", "SEC-34", get(target="/secured/x?access_token=x"), 401, closes=False),
    refused("no-token", "SEC-30", get(target="/secured/x"), 401, closes=False),
    refused(
        "bad-token",
        "SEC-30",
        get("Authorization: Bearer a.b.c", target="/secured/x"),
        401,
        closes=False,
    ),
    refused(
        "empty-token",
        "SEC-30",
        get("Authorization: Bearer", target="/secured/x"),
        401,
        closes=False,
    ),
    refused(
        "other-scheme",
        "SEC-30",
        get("Authorization: Basic a", target="/secured/x"),
        401,
        closes=False,
    ),
)
