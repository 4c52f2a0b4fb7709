"""Whatever PostgREST's own description of the API allows, and what it does not, as each role."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok

from chaos import checks, record
from tests.further import further_but
from tests.fuzz.callers import ROLES, Api, Caller


@pytest.mark.parametrize("caller", further_but(["customer", "service_role"], ROLES), indirect=True)
def test_any_call(api: Api, caller: Caller, inputs: int, tried: Callable[[], int]) -> None:
    description = caller.session.get(f"{caller.url}/").json()
    schema = schemathesis.openapi.from_dict(description)
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    assert len(operations) >= 2
    cases = st.one_of(
        [operation.as_strategy(mode) for operation in operations for mode in GenerationMode]
    )
    statuses = Counter[int]()

    @settings(max_examples=inputs)
    @given(cases)
    def call(case: Case[Any]) -> None:
        # PostgREST 12.0.2 answers 500 to a Range that is not ASCII, before it asks the database.
        headers: dict[str, Any] = dict(case.headers or {})
        assume(str(headers.get("Range", "")).isascii())
        tried()
        response = case.call(caller.url, caller.session)
        statuses[response.status_code] += 1
        caller.check(response, case.as_curl_command())

    call()
    assert statuses[200] and statuses[400], statuses
    if not caller.may_see_all:  # service_role may import what was never logged
        found = record.Database.read(api.database.dsn())
        assert list(checks.transitions_make_sense(record.Record(), found)) == []
