"""A stack whose disk and network can fail too."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from stack.services import Stack
from stack.temporary import temporary_directory

DISK = 2 << 30  # bytes, of which only what is written takes space
SETTINGS = {"track_commit_timestamp": "on"}  # for the checker
AS_ROOT = [] if os.geteuid() == 0 else ["sudo", "-n"]


@contextmanager
def breakable_stack(report: Callable[[str], None] = lambda _: None) -> Iterator[Stack]:
    """With a file system and a network of its own for the database."""
    with (
        temporary_directory() as directory,
        small_disk(directory),
        Stack(directory, fsync=True, proxied=True, settings=SETTINGS, report=report) as stack,
    ):
        yield stack


@contextmanager
def small_disk(directory: Path) -> Iterator[None]:
    """A file system in a file, mounted where the stack has its database."""
    image, database = directory / "disk", directory / "postgres"
    database.mkdir(mode=0o700)
    with image.open("wb") as file:
        file.truncate(DISK)
    owner = f"root_owner={os.geteuid()}:{os.getegid()}"
    run("mkfs.ext4", "-q", "-F", "-m", "0", "-E", f"{owner},nodiscard", str(image))
    run("mount", "-o", "loop", str(image), str(database))
    try:
        yield
    finally:
        run("umount", "--lazy", str(database))


def run(*command: str) -> None:
    done = subprocess.run([*AS_ROOT, *command], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(
            f"The database needs a file system of its own to fill, and {command[0]} failed"
            f" (root or sudo, and loop devices?): {done.stderr.strip()}"
        )
