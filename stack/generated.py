"""Write generated files, or say which are not what they should be."""

from collections.abc import Collection, Mapping
from pathlib import Path


def bring_up_to_date(
    wanted: Mapping[Path, str], surplus: Collection[Path] = (), *, check: bool
) -> bool:
    """Write what differs and remove the surplus, or with `check` only print; was all current?"""
    changed = {path for path in wanted if not path.exists() or path.read_text() != wanted[path]}
    for path in sorted(changed | set(surplus)):
        if check:
            print(f"{path} is stale: run `make sql`")
        elif path in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path])
            print(f"{path} written")
        else:
            path.unlink()
            print(f"{path} removed")
    return not changed and not surplus
