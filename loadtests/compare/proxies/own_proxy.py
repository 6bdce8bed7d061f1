"""A reverse proxy as one writes it in an afternoon: aiohttp, uvloop, bodies as streams, a log line.

    python own_proxy.py PORT UPSTREAM_PORT

It is here to be measured. It leaves out what takes the other weeks: limits, time-outs, retries,
health, reloads, and most of what HTTP asks of a proxy beyond the hop-by-hop fields.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import uuid
from collections.abc import AsyncIterator

import uvloop
from aiohttp import ClientSession, TCPConnector, web

HOP_BY_HOP = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
SESSION: web.AppKey[ClientSession] = web.AppKey("session", ClientSession)
SERVICE = f"http://127.0.0.1:{sys.argv[2]}"


async def forward(request: web.Request) -> web.StreamResponse:
    fields = {n: v for n, v in request.headers.items() if n.lower() not in HOP_BY_HOP}
    fields["X-Forwarded-For"] = request.remote or ""
    fields["X-Forwarded-Proto"] = "http"
    fields["X-Request-Id"] = uuid.uuid4().hex
    body = request.content if request.body_exists else None
    async with request.app[SESSION].request(
        request.method, SERVICE + request.raw_path, headers=fields, data=body, allow_redirects=False
    ) as answer:
        chunked = "Content-Length" not in answer.headers
        kept = {n: v for n, v in answer.headers.items() if n.lower() not in HOP_BY_HOP}
        response = web.StreamResponse(status=answer.status, headers=kept)
        if chunked:
            response.enable_chunked_encoding()
        await response.prepare(request)
        async for piece in answer.content.iter_any():
            await response.write(piece)
        await response.write_eof()
        return response


async def home(request: web.Request) -> web.Response:
    """One JSON object made of three answers."""

    async def part(name: str) -> object:
        url = f"{SERVICE}/{name}/{request.match_info['user']}"
        async with request.app[SESSION].get(url) as answer:
            return await answer.json(content_type=None)

    names = ("profile", "orders", "cart")
    found = await asyncio.gather(*map(part, names))
    return web.json_response(dict(zip(names, found, strict=True)))


async def session(app: web.Application) -> AsyncIterator[None]:
    connector = TCPConnector(limit=256)
    async with ClientSession(connector=connector, auto_decompress=False) as opened:
        app[SESSION] = opened
        yield


def main() -> None:
    logging.basicConfig(filename=os.environ["ACCESS_LOG"], level=logging.INFO, format="%(message)s")
    app = web.Application(client_max_size=100 * 2**20)
    app.cleanup_ctx.append(session)
    app.router.add_get("/home/{user}", home)
    app.router.add_route("*", "/{path:.*}", forward)
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), backlog=4096, print=None)


if __name__ == "__main__":
    main()
