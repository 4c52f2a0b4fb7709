"""What `make test` leaves to `make testall`: see the mark `further` in conftest.py."""

from collections.abc import Iterable, Mapping
from typing import Any

import pytest


def further_but(first: Iterable[str], values: Mapping[str, Any] | Iterable[str]) -> list[Any]:
    """Parameters, by their ids or as they are: the first are tested in any case, others marked."""
    if not isinstance(values, Mapping):
        values = {name: name for name in values}
    assert set(first) <= set(values)
    return [
        pytest.param(value, id=name, marks=() if name in first else pytest.mark.further)
        for name, value in values.items()
    ]
