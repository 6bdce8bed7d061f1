"""Envoy. It remembers tokens it has verified, as gwd does: its cache holds all of the run's. Its
limit per address is the local one, with a bucket per remote address."""

from __future__ import annotations

import json
from typing import Any

from loadtests.compare.place import Place, Setup
from loadtests.compare.running import program
from loadtests.compare.tokens import AUDIENCE, ISSUER

_TYPES = "type.googleapis.com/envoy.extensions."
_LIMIT = _TYPES + "filters.http.local_ratelimit.v3.LocalRateLimit"


def plain(place: Place) -> Setup:
    return _setup(place, [_limit(1_000_000, "1s")])


def tokens(place: Place) -> Setup:
    provider = {
        "issuer": ISSUER,
        "audiences": [AUDIENCE],
        "local_jwks": {"inline_string": place.keys.jwks},
        "jwt_cache_config": {"jwt_cache_size": 1000},
        "forward": True,
    }
    verifier = _filter(
        "jwt_authn",
        {
            "@type": _TYPES + "filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": {"main": provider},
            "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "main"}}],
        },
    )
    return _setup(place, [_limit(1_000_000, "1s"), verifier])


def limited(place: Place) -> Setup:
    return _setup(place, [_limit(1, "3600s")])


def _limit(requests: int, period: str) -> dict[str, Any]:
    """So many requests per address and period. The bucket of all is so large nobody meets it."""
    bucket = {"max_tokens": requests, "tokens_per_fill": requests, "fill_interval": period}
    everybody = {"max_tokens": 2**32 - 1, "tokens_per_fill": 2**32 - 1, "fill_interval": "1s"}
    always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    return _filter(
        "local_ratelimit",
        {
            "@type": _LIMIT,
            "stat_prefix": "limit",
            "token_bucket": everybody,
            "filter_enabled": always,
            "filter_enforced": always,
            "rate_limits": [{"actions": [{"remote_address": {}}]}],
            "descriptors": [{"entries": [{"key": "remote_address"}], "token_bucket": bucket}],
        },
    )


def _filter(name: str, config: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "typed_config": config}


def _setup(place: Place, filters: list[dict[str, Any]]) -> Setup:
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": "service"}}]
    manager = {
        "@type": _TYPES + "filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "front",
        "use_remote_address": True,
        "access_log": [
            _filter(
                "file",
                {
                    "@type": _TYPES + "access_loggers.file.v3.FileAccessLog",
                    "path": f"{place.room}/access.log",
                },
            )
        ],
        "http_filters": [
            *filters,
            _filter("router", {"@type": _TYPES + "filters.http.router.v3.Router"}),
        ],
        "route_config": {
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}],
        },
    }
    endpoint = {"endpoint": {"address": _address(place.upstream)}}
    cluster = {
        "name": "service",
        "connect_timeout": "2s",
        "load_assignment": {
            "cluster_name": "service",
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
    }
    listener = {
        "address": _address(place.port),
        "filter_chains": [{"filters": [_filter("http", manager)]}],
    }
    config = {"static_resources": {"listeners": [listener], "clusters": [cluster]}}
    command = [program("envoy") or "envoy", "-c", f"{place.room}/envoy.json"]
    command += ["--concurrency", "1", "-l", "error", "--disable-hot-restart"]
    return Setup({"envoy.json": json.dumps(config, indent=1)}, command)


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
