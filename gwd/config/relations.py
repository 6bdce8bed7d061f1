"""What several keys or tables say together: references, choices of one, counts that must fit.

Strategy: judged on the plain tree and not on the models, so that a file with a mistake in one key
still gets every other mistake told. So everything here takes what has the right type and leaves
the rest to the models; one function per relation, each short enough to be read as its rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from gwd.config import addresses, patterns
from gwd.config.draft import Draft, did_you_mean
from gwd.config.listening import LISTENING
from gwd.config.places import Path
from gwd.config.tables.base import Table
from gwd.config.tables.server import SegmentTable, ServerTable
from gwd.config.units import NotAllowed, duration, size

KEY_SOURCES = ("jwks_file", "public_key_file", "secret_env", "secret_file")
SECRET_SOURCES = ("secret_env", "secret_file")
KINDS = ("upstream", "parts", "respond")
REDIRECTS = (301, 302, 303, 307, 308)


def judge_relations(draft: Draft) -> None:
    """Tell `draft` all that does not fit together."""
    for relation in RELATIONS:
        relation(draft)


def _routes(draft: Draft) -> Iterator[tuple[Path, dict[str, Any]]]:
    yield from _items(draft, ("routes",))


def _parts(draft: Draft) -> Iterator[tuple[Path, dict[str, Any], dict[str, Any]]]:
    for route_path, route in _routes(draft):
        for path, part in _items(draft, (*route_path, "parts")):
            yield path, part, route


def _items(draft: Draft, path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    found = draft.get(path)
    if isinstance(found, list):
        for index, item in enumerate(found):
            if isinstance(item, dict):
                yield (*path, index), item


def _named(draft: Draft, table: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    found = draft.get((table,))
    if isinstance(found, dict):
        for name, item in found.items():
            if isinstance(item, dict):
                yield (table, name), item


def _refers(draft: Draft, path: Path, name: Any, table: str, what: str) -> None:
    known = draft.get((table,))
    names = list(known) if isinstance(known, dict) else []
    if not isinstance(name, str) or name in names:
        return
    guess = did_you_mean(name, names)
    if guess:
        draft.refuse(path, f'is not {what}; did you mean "{guess}"?')
    elif names:
        draft.refuse(path, f"is not {what}; known: {', '.join(names[:10])}")
    else:
        draft.refuse(path, f"is not {what}; there is no [{table}.NAME] table yet")


def references(draft: Draft) -> None:
    """Routes and parts name upstreams and verifiers that are there."""
    for path, route in _routes(draft):
        _refers(draft, (*path, "upstream"), route.get("upstream"), "upstreams", "an upstream")
        auth = route.get("auth")
        for index, name in enumerate(auth if isinstance(auth, list) else [auth]):
            place = (*path, "auth", index) if isinstance(auth, list) else (*path, "auth")
            _refers(draft, place, name, "auth", "a verifier")
    for path, part, _ in _parts(draft):
        _refers(draft, (*path, "upstream"), part.get("upstream"), "upstreams", "an upstream")


def one_kind_of_route(draft: Draft) -> None:
    """A route has exactly one of upstream, parts, respond; rewrite goes with upstream only."""
    for path, route in _routes(draft):
        there = [kind for kind in KINDS if kind in route]
        if not there:
            if any(draft.is_excused((*path, kind)) for kind in KINDS):
                continue
            draft.refuse_key(path, "goes nowhere; add exactly one of upstream, parts, respond")
        elif len(there) > 1:
            draft.refuse_key(
                (*path, there[1]),
                f'stands beside "{there[0]}"; use exactly one of upstream, parts, respond',
            )
        if "rewrite" in route and there and "upstream" not in there:
            draft.refuse_key(
                (*path, "rewrite"), f'has no meaning with "{there[0]}"; it goes with upstream only'
            )


def different_names(draft: Draft) -> None:
    """No two routes, and no two parts of a route, have one name."""
    _different(draft, _routes(draft), "a route")
    for route_path, _ in _routes(draft):
        _different(draft, _items(draft, (*route_path, "parts")), "a part of this route")


def _different(draft: Draft, items: Iterator[tuple[Path, dict[str, Any]]], what: str) -> None:
    first: dict[str, Path] = {}
    for path, item in items:
        name = item.get("name")
        if not isinstance(name, str):
            continue
        if name in first:
            line = draft.places.value((*first[name], "name")).line
            draft.refuse(
                (*path, "name"), f"is the name of {what} on line {line} already; choose another"
            )
        else:
            first[name] = path


def captured(draft: Draft) -> None:
    """Rewrites, parts and redirects use only what the route's path captures."""
    for path, route in _routes(draft):
        uses = [((*path, "rewrite"), route.get("rewrite"))]
        respond = route.get("respond")
        if isinstance(respond, dict):
            uses.append(((*path, "respond", "redirect"), respond.get("redirect")))
        uses += [((*p, "path"), part.get("path")) for p, part in _items(draft, (*path, "parts"))]
        pattern = route.get("path")
        if isinstance(pattern, str):
            for place, template in uses:
                if isinstance(template, str):
                    _captured(draft, place, template, patterns.captures(pattern))


def _captured(draft: Draft, path: Path, template: str, known: tuple[str, ...]) -> None:
    for name in dict.fromkeys(patterns.placeholders(template)):
        if name in known:
            continue
        what = draft.part(path, f"{{{name}}}")
        use = " or ".join(f"{{{k}}}" for k in known) or "none, the path captures nothing"
        draft.refuse(path, f"uses {what}, which the route's path does not capture; use {use}")


def tokens_before_claims(draft: Draft) -> None:
    """What is asked of a token needs a verifier."""
    for path, route in _routes(draft):
        if "auth" in route:
            continue
        if "require" in route:
            draft.refuse_key((*path, "require"), "has no token to look at; add auth")
        if route.get("auth_optional") is True:
            draft.refuse_key((*path, "auth_optional"), "has no verifier to use; add auth")


def rates_that_count(draft: Draft) -> None:
    """A route's burst and rate_key belong to its rate; a claim needs a verified token, a header
    one that the client itself writes."""
    identity = _identity_headers(draft)
    for path, route in _routes(draft):
        for key in ("burst", "rate_key"):
            if key in route and "rate" not in route:
                draft.refuse_key((*path, key), 'has no rate to go with; add rate = "20/s"')
        rate_key = route.get("rate_key")
        if not isinstance(rate_key, str) or "rate" not in route:
            continue
        kind, _, name = rate_key.partition(":")
        place = (*path, "rate_key")
        if kind == "claim" and name and "auth" not in route:
            draft.refuse(place, "has no token to look at; add auth")
        if kind == "header" and name.lower() in identity:
            claim = identity[name.lower()]
            draft.refuse(place, f'is written by gwd alone, from a claim; use "claim:{claim}"')


def _identity_headers(draft: Draft) -> dict[str, str]:
    """The headers of forward_claims, in lower case, and the claims in them."""
    found = {}
    for _, verifier in _named(draft, "auth"):
        claims = verifier.get("forward_claims")
        for claim, header in claims.items() if isinstance(claims, dict) else ():
            if isinstance(header, str):
                found[header.lower()] = claim
    return found


def bans_of_somebody(draft: Draft) -> None:
    """Bans are made of what per_ip refuses."""
    limits = draft.get(("limits",))
    if isinstance(limits, dict) and "ban" in limits and "per_ip" not in limits:
        draft.warn(
            ("limits", "ban"),
            "bans nobody by itself without [limits.per_ip], only gwd ban does; add that table",
        )


def one_key_source(draft: Draft) -> None:
    """A verifier has exactly one source of keys, of the kind its algorithms need (SEC-29)."""
    for path, verifier in _named(draft, "auth"):
        sources = [key for key in KEY_SOURCES if key in verifier]
        if not sources:
            excused = any(draft.is_excused((*path, key)) for key in KEY_SOURCES)
            if not excused:
                draft.refuse_key(path, f"has no key; add exactly one of {', '.join(KEY_SOURCES)}")
        elif len(sources) > 1:
            draft.refuse_key(
                (*path, sources[1]),
                f'stands beside "{sources[0]}"; use exactly one of {", ".join(KEY_SOURCES)}',
            )
        algorithms = verifier.get("algorithms")
        if not isinstance(algorithms, list):
            continue
        symmetric = {a.startswith("HS") for a in algorithms if isinstance(a, str)}
        place = (*path, "algorithms")
        if len(symmetric) > 1:
            draft.refuse(
                place,
                "mixes HS* with algorithms of public keys, so that a public key could be taken "
                "for a secret; use one kind only",
            )
        elif symmetric and len(sources) == 1 and (sources[0] in SECRET_SOURCES) not in symmetric:
            use = "HS256, HS384, HS512" if sources[0] in SECRET_SOURCES else "RS256, ES256, EdDSA"
            draft.refuse(place, f"does not go with {sources[0]}; use {use} and the like")


def claims_to_different_headers(draft: Draft) -> None:
    """No two claims of a verifier go into one header."""
    for path, verifier in _named(draft, "auth"):
        claims = verifier.get("forward_claims")
        first: dict[str, str] = {}
        for claim, header in claims.items() if isinstance(claims, dict) else ():
            if not isinstance(header, str):
                continue
            if header.lower() in first:
                place = (*path, "forward_claims", claim)
                draft.refuse(place, "carries another claim already; use one header per claim")
            first[header.lower()] = claim


def _one_answer(draft: Draft) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path, route in _routes(draft):
        respond = route.get("respond")
        if isinstance(respond, dict):
            yield (*path, "respond"), respond


def answers(draft: Draft) -> None:
    """`respond` is a redirect, or a status with a body where HTTP allows one."""
    for path, respond in _one_answer(draft):
        status = respond.get("status")
        if not respond:
            draft.refuse_key(path, "says nothing; add redirect, status or body")
        if "redirect" in respond:
            if "body" in respond:
                draft.refuse_key((*path, "body"), "stands beside redirect; use one of them")
            if isinstance(status, int) and status not in REDIRECTS:
                draft.refuse(
                    (*path, "status"),
                    f"is not the status of a redirect; use {', '.join(map(str, REDIRECTS))}",
                )
        elif "body" in respond and status in (204, 205, 304):
            draft.refuse_key((*path, "body"), f"cannot go with status {status}; leave it out")
        names: set[str] = set()
        headers = respond.get("headers")
        for name in headers if isinstance(headers, dict) else ():
            if name.lower() in names:
                draft.refuse_key((*path, "headers", name), "is there already in another spelling")
            if name.lower() == "location" and "redirect" in respond:
                draft.refuse_key((*path, "headers", name), "is what redirect says; leave it out")
            names.add(name.lower())


def parts_that_cannot_be_missing(draft: Draft) -> None:
    """A required part needs no default."""
    for path, part, _ in _parts(draft):
        if part.get("required") is True and "default" in part:
            draft.warn((*path, "default"), "is never used, the part is required")


def different_listeners(draft: Draft) -> None:
    """No address is listened on twice."""
    binds = draft.get(("server", "bind"))
    seen: set[str] = set()
    for index, item in enumerate(binds if isinstance(binds, list) else []):
        text = item.get("address") if isinstance(item, dict) else item
        try:
            found = addresses.address(text, lowest_port=0) if isinstance(text, str) else None
        except NotAllowed:
            found = None
        if found is None:
            continue
        if found.port and str(found) in seen:
            draft.refuse(("server", "bind", index), "is there twice; leave one out")
        seen.add(str(found))


def different_endpoints(draft: Draft) -> None:
    """No upstream has one endpoint twice: what is known of an endpoint goes by its address."""
    for path, upstream in _named(draft, "upstreams"):
        items = upstream.get("endpoints")
        seen: set[str] = set()
        for index, item in enumerate(items if isinstance(items, list) else []):
            text = item.get("address") if isinstance(item, dict) else item
            try:
                found = str(addresses.address(text)) if isinstance(text, str) else None
            except NotAllowed:
                found = None
            if found is not None and found in seen:
                draft.refuse((*path, "endpoints", index), "is there twice; use a weight instead")
            if found is not None:
                seen.add(found)


def short_leeway(draft: Draft) -> None:
    """Clocks differ by seconds, not by hours (RFC 8725 is silent, SECURITY §3 says 300 s)."""
    for path, verifier in _named(draft, "auth"):
        try:
            seconds = duration(verifier.get("leeway", "0s"))
        except NotAllowed:
            continue
        if seconds > 300:
            draft.refuse((*path, "leeway"), 'is too long; use at most "300s"')


def _number(draft: Draft, table: str, model: type[Table], key: str) -> int:
    """A whole number as the file or `${VAR}` has it; its default where that says none."""
    found = draft.get((table, key))
    if isinstance(found, str) and found.isascii() and found.isdigit():
        found = int(found[:18])
    if isinstance(found, int) and not isinstance(found, bool):
        return found
    return int(model.model_fields[key].default)


def heads_fit_the_budget(draft: Draft) -> None:
    """A head that is allowed fits what a worker may hold."""
    sizes = []
    for key in ("buffer_budget", "max_head"):
        found = draft.get(("server", key))
        try:
            sizes.append(size(ServerTable.model_fields[key].default if found is None else found))
        except NotAllowed:
            return
    budget, head = sizes
    if budget < head:
        _above_the_whole(
            draft, "max_head", "buffer_budget", "a client may be cut off for a head of it"
        )


def handshakes_leave_room(draft: Draft) -> None:
    """What one address may take is a part of what there is."""
    most = _number(draft, "server", ServerTable, "max_handshakes")
    if _number(draft, "server", ServerTable, "max_handshakes_per_ip") > most:
        why = "one address may take every place"
        _above_the_whole(draft, "max_handshakes_per_ip", "max_handshakes", why)


def _above_the_whole(draft: Draft, part: str, whole: str, why: str) -> None:
    """Of [server], `part` is above `whole`; told at that which the file has."""
    if draft.get(("server", part)) is not None:
        draft.warn(("server", part), f"is more than {whole}, so {why}; lower it or raise {whole}")
    else:
        default = ServerTable.model_fields[part].default
        draft.warn(
            ("server", whole),
            f"is less than {part}, by default {default}, so {why}; raise it or lower {part}",
        )


def fits_the_segment(draft: Draft) -> None:
    """Workers, routes and endpoints fit the shared memory."""

    def capacity(key: str) -> int:
        return _number(draft, "segment", SegmentTable, key)

    workers = draft.get(("server", "workers"))
    if isinstance(workers, int) and workers > capacity("max_workers"):
        draft.refuse(("server", "workers"), "is more than segment.max_workers; raise that too")
    routes = draft.get(("routes",))
    if isinstance(routes, list) and len(routes) > capacity("max_routes"):
        draft.refuse_key(("routes",), "more than segment.max_routes; raise that too")
    endpoints = 0
    for _, upstream in _named(draft, "upstreams"):
        items = upstream.get("endpoints")
        endpoints += len(items) if isinstance(items, list) else 0
    if endpoints > capacity("max_endpoints"):
        draft.refuse_key(("upstreams",), "more endpoints than segment.max_endpoints; raise it")


def something_to_serve(draft: Draft) -> None:
    """A gateway without routes answers 404 to everything."""
    if not draft.get(("routes",)) and not draft.refused:
        draft.warn(("routes",), "there is none, every request gets 404; add [[routes]]")


RELATIONS: tuple[Callable[[Draft], None], ...] = (
    references,
    one_kind_of_route,
    different_names,
    captured,
    tokens_before_claims,
    rates_that_count,
    bans_of_somebody,
    one_key_source,
    claims_to_different_headers,
    short_leeway,
    answers,
    parts_that_cannot_be_missing,
    different_listeners,
    different_endpoints,
    heads_fit_the_budget,
    handshakes_leave_room,
    fits_the_segment,
    *LISTENING,
    something_to_serve,
)
