"""The conformance suite as parameters of a pytest test."""

from __future__ import annotations

import pytest
from _pytest.mark.structures import ParameterSet

from headgate.providers import Provider
from headgate.testing.conformance import conformance_cases


def conformance_params(*providers: Provider) -> list[ParameterSet]:
    """The conformance suite over some providers as parameters, skips included."""
    cases = [case for provider in providers for case in conformance_cases(provider)]
    return [pytest.param(case, id=str(case), marks=() if case.skip is None else pytest.mark.skip(reason=case.skip)) for case in cases]
