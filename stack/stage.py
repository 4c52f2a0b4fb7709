"""What the demo's parts share: the timeline on the screen, and which statements hold."""

import os
import sys
import time
from dataclasses import dataclass, field

COLOURS = {"Carla": 36, "Frank": 33, "Mona": 35, "Mike": 34, "✓": 32, "✗": 31}
BOLD, DIM = 1, 2
NAMES = 13  # the width of that column


class Screen:
    """Prints the timeline, each line with its second since the start."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.is_terminal = sys.stdout.isatty()
        self._colours = self.is_terminal and not os.environ.get("NO_COLOR")
        self._passing = False

    def paint(self, text: str, colour: int | None) -> str:
        return f"\033[{colour}m{text}\033[0m" if self._colours and colour else text

    def print(self, text: str = "") -> None:
        clear = "\r\033[K" if self._passing else ""
        self._passing = False
        print(f"{clear}{text}", flush=True)

    def title(self, text: str) -> None:
        self.print(f"\n{self.paint(text, BOLD)}")

    def line(self, who: str, verb: str, text: str, at: float | None = None) -> None:
        names = ", ".join(self.paint(name, COLOURS.get(name, BOLD)) for name in who.split(", "))
        padding = " " * (NAMES - len(who))
        self.print(f"{self._clock(at)}  {names}{padding}  {verb:9}  {text}")

    def note(self, text: str) -> None:
        self.print(f"{self._clock()}  {self.paint(text, DIM)}")

    def passing(self, text: str) -> None:
        """A line that the next one overwrites; only on a terminal."""
        self._passing = True
        print(f"\r\033[K{self._clock()}  {self.paint(text, DIM)}", end="", flush=True)

    def _clock(self, at: float | None = None) -> str:
        return f"{(at or time.monotonic()) - self.started:7.2f} s"


class Broken(Exception):
    """Something differs so much that the rest cannot be shown."""


@dataclass
class Stage:
    """Scene by scene, what is shown and what was found."""

    screen: Screen
    outcomes: dict[str, dict[str, bool]] = field(default_factory=dict)  # by scene and statement

    def scene(self, title: str) -> None:
        self.screen.title(title)
        self.outcomes[title] = {}

    def check(self, statement: str, found: object, expected: object) -> None:
        """Keep whether a statement holds, for the summary."""
        scene = list(self.outcomes.values())[-1]
        scene[statement] = found == expected
        if found != expected:
            self.screen.note(f"✗ {statement}: expected {expected}, found {found}")

    def summary(self) -> bool:
        """Print what was proven; whether all of it holds."""
        screen = self.screen
        screen.title("Proven")
        for title, outcomes in self.outcomes.items():
            screen.print(f"  {title}")
            for statement, holds in outcomes.items():
                mark = "✓" if holds else "✗"
                screen.print(f"    {screen.paint(mark, COLOURS[mark])} {statement}")
        every = [holds for outcomes in self.outcomes.values() for holds in outcomes.values()]
        verdict = "all hold" if all(every) else f"not holding: {every.count(False)}"
        seconds = time.monotonic() - screen.started
        screen.print(f"\n{len(every)} statements, {verdict}; {seconds:.0f} s.")
        return all(every)
