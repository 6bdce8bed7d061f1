"""What the items of `server.bind` and `[server.tls]` say together.

Strategy: as in relations.py, on the plain tree, one function per rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from gwd.config.draft import Draft
from gwd.config.places import Path

TLS: Path = ("server", "tls")


def _on(value: Any) -> bool:
    """Whether a switch is on; as text it came from `${VAR}`."""
    return value is True or value == "true"


def _off(value: Any) -> bool:
    return value is False or value == "false"


def _binds(draft: Draft) -> Iterator[tuple[Path, dict[str, Any]]]:
    found = draft.get(("server", "bind"))
    for index, item in enumerate(found if isinstance(found, list) else []):
        yield ("server", "bind", index), item if isinstance(item, dict) else {}


def _tls(draft: Draft) -> dict[str, Any] | None:
    found = draft.get(TLS)
    return found if isinstance(found, dict) else None


def _encrypted(draft: Draft) -> set[Path]:
    """The items on which TLS is spoken: assemble.binds decides alike."""
    items = list(_binds(draft))
    everywhere = _tls(draft) is not None and not any(_on(item.get("tls")) for _, item in items)
    return {
        path
        for path, item in items
        if _on(item.get("tls"))
        or (everywhere and not _off(item.get("tls")) and not _on(item.get("redirect_https")))
    }


def tls_has_certificates(draft: Draft) -> None:
    """TLS needs a certificate and its key."""
    table = _tls(draft)
    if table is None:
        for path, item in _binds(draft):
            if _on(item.get("tls")) and not draft.is_excused(TLS):
                draft.refuse_key(
                    (*path, "tls"), "has no certificate; add [server.tls] with cert and key"
                )
        return
    if "cert" not in table and "key" not in table and not table.get("certificates"):
        draft.refuse_key(TLS, "has no certificate; add cert and key")
    for key, other in (("cert", "key"), ("key", "cert")):
        if key in table and other not in table:
            draft.refuse_key((*TLS, key), f"has no {other} beside it; add {other}")


def tls_is_spoken(draft: Draft) -> None:
    """Certificates are for a listener."""
    if _tls(draft) is not None and not _encrypted(draft) and draft.get(("server", "bind")):
        draft.warn(TLS, "no item of server.bind speaks TLS; give one tls = true")


def redirects_are_plain(draft: Draft) -> None:
    """Where TLS is spoken there is nothing to redirect to."""
    for path, item in _binds(draft):
        if _on(item.get("redirect_https")) and _on(item.get("tls")):
            draft.refuse_key((*path, "redirect_https"), "stands beside tls = true; use one of them")


def redirects_lead_somewhere(draft: Draft) -> None:
    """A redirect goes to the first listener with TLS, and to port 443 if there is none: that may
    be a proxy's in front of us, so it is not refused."""
    if _encrypted(draft):
        return
    for path, item in _binds(draft):
        if _on(item.get("redirect_https")):
            draft.warn(
                (*path, "redirect_https"),
                "clients are sent to port 443, on which nothing of this gateway listens; give "
                "another item tls = true, unless something in front of it speaks TLS there",
            )


def clients_are_asked_over_tls(draft: Draft) -> None:
    """A client shows its certificate in a handshake, and somebody must have signed it."""
    table = _tls(draft) or {}
    encrypted = _encrypted(draft)
    asked = False
    for path, item in _binds(draft):
        if item.get("client_auth") not in ("optional", "required"):
            continue
        asked = True
        place = (*path, "client_auth")
        if path not in encrypted:
            draft.refuse(place, "asks for a certificate where no TLS is spoken; add tls = true")
        elif "client_ca" not in table:
            draft.refuse(place, "knows no authority to believe; add server.tls.client_ca")
    if "client_ca" in table and not asked:
        draft.warn(
            (*TLS, "client_ca"),
            'no client is asked for a certificate; give an item of server.bind client_auth = "…"',
        )


def client_fields_are_headers_of_their_own(draft: Draft) -> None:
    """Each says one thing, which no token says in the same place."""
    table = _tls(draft) or {}
    fields = table.get("client_fields")
    if not isinstance(fields, dict) or not fields:
        return
    if "client_ca" not in table:
        draft.refuse_key((*TLS, "client_fields"), "nobody is verified; add client_ca")
    taken: dict[str, str] = {}
    auth = draft.get(("auth",))
    for name, verifier in auth.items() if isinstance(auth, dict) else ():
        claims = verifier.get("forward_claims") if isinstance(verifier, dict) else None
        for claim, header in claims.items() if isinstance(claims, dict) else ():
            if isinstance(header, str):
                taken[header.lower()] = f"the claim {claim} of auth.{name}"
    for fact, header in fields.items():
        if not isinstance(header, str):
            continue
        if header.lower() in taken:
            draft.refuse(
                (*TLS, "client_fields", fact),
                f"carries {taken[header.lower()]} already; use another header",
            )
        taken.setdefault(header.lower(), fact)


def proxies_are_trusted(draft: Draft) -> None:
    """A PROXY header says who the client is, so not everybody may send one."""
    server = draft.get(("server",))
    if not isinstance(server, dict) or server.get("trusted_proxies"):
        return
    places = [
        (*path, "proxy_protocol") for path, item in _binds(draft) if _on(item.get("proxy_protocol"))
    ]
    if _on(server.get("proxy_protocol")):
        places.append(("server", "proxy_protocol"))
    for place in places:
        draft.refuse_key(place, "nobody may send its header; add server.trusted_proxies")


LISTENING: tuple[Callable[[Draft], None], ...] = (
    tls_has_certificates,
    tls_is_spoken,
    redirects_are_plain,
    redirects_lead_somewhere,
    clients_are_asked_over_tls,
    client_fields_are_headers_of_their_own,
    proxies_are_trusted,
)
