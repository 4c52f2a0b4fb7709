"""Threads that repeat something until they are told to stop."""

import random
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self


class Threads:
    """Stopped at the end of the context; what one of them raised is raised there."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.pool = ThreadPoolExecutor(max_workers=100)
        self.running: list[Future[None]] = []

    def repeat(self, action: Callable[[], None], pause: float) -> None:
        """Call `action` again and again, with pauses of about this many seconds."""

        def loop() -> None:
            while not self.over.wait(random.expovariate(1 / pause)):
                action()

        self.running.append(self.pool.submit(loop))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.over.set()
        self.pool.shutdown()
        for each in self.running:
            each.result()
