"""The door of a push service: takes whatever comes, and says when. For bench/push.py."""

import signal
import sys
import time

from aiohttp import web

arrivals: list[str] = []


async def take(request: web.Request) -> web.Response:
    arrived = time.time()
    await request.read()
    arrivals.append(f"{request.path.removeprefix('/')} {arrived}")
    return web.Response(status=201)


async def tell(_: web.Request) -> web.Response:
    """What came since it was last asked."""
    text = "\n".join(arrivals)
    arrivals.clear()
    return web.Response(text=text)


def main() -> None:
    app = web.Application()
    app.router.add_get("/", tell)
    app.router.add_post("/{device}", take)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)


if __name__ == "__main__":
    main()
