"""A stack that leaves nothing behind."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from stack.services import Stack


@contextmanager
def temporary_directory() -> Iterator[Path]:
    """A directory for a stack, removed at the end."""
    directory = Path(tempfile.mkdtemp(prefix="favorites-stack-"))
    directory.chmod(0o711)  # user postgres must get through
    try:
        yield directory
    finally:
        # The data may live elsewhere, behind a link.
        shutil.rmtree((directory / "postgres").resolve(), ignore_errors=True)
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def temporary_stack(*, report: Callable[[str], None] = lambda _: None) -> Iterator[Stack]:
    """A started stack in a directory of its own, stopped and removed at the end."""
    with temporary_directory() as directory, Stack(directory, report=report) as stack:
        yield stack
