"""The door of a push service, by TLS: takes whatever comes, says when, answers some seconds later.

For bench/push.py: `python -m bench.push_door <port> <seconds> <certificate> <key>`.
"""

import asyncio
import signal
import ssl
import sys
import time

from aiohttp import web

arrivals: list[str] = []
port, seconds, certificate, key = sys.argv[1:]


async def take(request: web.Request) -> web.Response:
    arrived = time.time()
    await request.read()
    arrivals.append(f"{request.path.removeprefix('/')} {arrived}")
    await asyncio.sleep(float(seconds))
    return web.Response(status=201)


async def tell(_: web.Request) -> web.Response:
    """What came since it was last asked."""
    text = "\n".join(arrivals)
    arrivals.clear()
    return web.Response(text=text)


def main() -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    app = web.Application()
    app.router.add_get("/", tell)
    app.router.add_post("/{device}", take)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    web.run_app(app, host="127.0.0.1", port=int(port), ssl_context=tls, print=None, access_log=None)


if __name__ == "__main__":
    main()
