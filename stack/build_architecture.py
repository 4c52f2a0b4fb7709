"""Draw docs/architecture.md: the rooms, and who calls whom in a freshly installed database."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from string import Template

from stack import ROOT
from stack.architecture import ROOMS, Catalogue, Part, read_catalogue
from stack.generated import bring_up_to_date
from stack.install import install
from stack.postgres import Cluster

PAGE = ROOT / "docs/architecture.md"
TEMPLATE = ROOT / "stack/architecture.template.md"
OUTSIDE = {
    "client": "clients",
    "trigger": "triggers",
    "policy": "policies",
    "view": "views",
    "index": "indexes",
    "column": "columns",
    "constraint": "constraints",
    "job": "pg_cron",
}
# Where a notice leaves us.
ENDS = {"pg_notify": "PostgreSQL", "realtime.send": "Supabase"}


def short(name: str) -> str:
    return f"`{name.removeprefix('dispatch.').removeprefix('sql/')}`"


def link(part: Part) -> str:
    return f"[{short(part.name)}](../{part.file})"


def in_room(catalogue: Catalogue, room: str) -> list[Part]:
    return [part for part in catalogue.functions.values() if part.room == room]


def table(catalogue: Catalogue) -> str:
    lines = ["| room | is for | functions |", "|---|---|---|"]
    lines += [
        f"| [{room}](#{room}) | {purpose} | {', '.join(map(link, in_room(catalogue, room)))} |"
        for room, purpose in ROOMS.items()
    ]
    return "\n".join(lines)


def picture(catalogue: Catalogue) -> str:
    """The rooms from the top down; as many arrows as there are pairs of rooms."""
    calls = [call for call in catalogue.calls if call.caller.room != call.callee.room]
    inside = Counter((call.caller.room, call.callee.room) for call in calls if call.caller.room)
    outside = Counter(
        (call.caller.kind, call.callee.room) for call in calls if not call.caller.room
    )
    outside += Counter(("client", part.room) for part in catalogue.functions.values() if part.roles)
    kinds = [kind for kind in OUTSIDE if any(kind == each for each, _ in outside)]
    order = list(reversed(ROOMS))

    lines = ["flowchart TD"]
    lines += [f"    {kind}_([{OUTSIDE[kind]}])" for kind in kinds]
    lines += [f"    {room}[{room}]" for room in order]
    lines += [
        f"    {kind}_ -. {outside[kind, room]} .-> {room}"
        for kind in kinds
        for room in order
        if (kind, room) in outside
    ]
    lines += [
        f"    {caller} -- {inside[caller, callee]} --> {callee}"
        for caller in order
        for callee in order
        if (caller, callee) in inside
    ]
    return "\n".join(["```mermaid", *lines, "```"])


@dataclass
class Line:
    text: str
    room: str
    children: list["Line"]


def branch(catalogue: Catalogue, part: Part, drawn: set[str], before: str = "") -> Line:
    line = Line(before + part.name, part.room or "", [])
    if not part.steps:
        return line
    if part.name in drawn:
        line.text += " (as above)"
        return line
    drawn.add(part.name)
    for step, name in part.steps:
        if step != "CALL":
            fired = [
                branch(catalogue, catalogue.functions[each], drawn, f"{trigger.timing}: ")
                for trigger in catalogue.fired(step, name)
                for each in trigger.calls
                if each in catalogue.functions
            ]
            line.children.append(Line(f"{step} {name}", "", fired))
        elif name in ENDS:
            line.children.append(Line(name, ENDS[name], []))
        elif name in catalogue.functions and name != part.name:
            line.children.append(branch(catalogue, catalogue.functions[name], drawn))
    return line


def drawn(line: Line, first: str = "", rest: str = "") -> Iterator[tuple[str, str]]:
    yield first + line.text, line.room
    for child in line.children:
        is_last = child is line.children[-1]
        yield from drawn(
            child, rest + ("└─ " if is_last else "├─ "), rest + ("   " if is_last else "│  ")
        )


def tree(catalogue: Catalogue, name: str) -> str:
    lines = list(drawn(branch(catalogue, catalogue.functions[name], set())))
    width = max(len(text) for text, _ in lines) + 2
    return "\n".join(
        ["```text", *(f"{text:{width}}{room}".rstrip() for text, room in lines), "```"]
    )


def named(parts: Iterable[Part], room: str) -> Iterator[str]:
    """Those of the room first, then the others, room by room from the base up."""
    order = [room, *(each for each in ROOMS if each != room)]

    def place(part: Part) -> int:
        return order.index(part.room) if part.room in order else len(order)

    for _, group in groupby(sorted(parts, key=place), key=place):
        these = list(group)
        home = these[0].room
        if home in ROOMS:
            names = ", ".join(short(part.name) for part in these)
            yield names if home == room else f"{home}: {names}"
        else:
            yield from (f"{part.kind} {short(part.name)}" for part in these)


def in_full(catalogue: Catalogue, room: str) -> str:
    lines = [
        f"### {room}",
        "",
        ROOMS[room],
        "",
        "| called by | function | calls |",
        "|---|---|---|",
    ]
    for part in in_room(catalogue, room):
        callers = [f"clients: `{', '.join(part.roles)}`"] if part.roles else []
        callers += named((each.caller for each in catalogue.calls if each.callee is part), room)
        callers = callers or [link(each) for each in catalogue.scripts if part.name in each.calls]
        callees = named((each.callee for each in catalogue.calls if each.caller is part), room)
        lines.append(f"| {'; '.join(callers)} | {link(part)} | {'; '.join(callees)} |")
    return "\n".join(lines)


def build(catalogue: Catalogue) -> str:
    return Template(TEMPLATE.read_text()).substitute(
        functions=len(catalogue.functions),
        rooms=len(ROOMS),
        table=table(catalogue),
        picture=picture(catalogue),
        booking=tree(catalogue, "public.process_stripe_event"),
        accept=tree(catalogue, "public.accept_session_request"),
        sweep=tree(catalogue, "dispatch.sweep_round"),
        rooms_in_full="\n\n".join(in_full(catalogue, room) for room in ROOMS),
    )


def main() -> int:
    check = sys.argv[1:] == ["--check"]
    with Cluster() as cluster:
        install(cluster.dsn())
        catalogue = read_catalogue(cluster.dsn())
    current = bring_up_to_date({PAGE: build(catalogue)}, check=check)
    return 1 if check and not current else 0


if __name__ == "__main__":
    sys.exit(main())
