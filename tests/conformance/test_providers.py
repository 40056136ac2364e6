"""The conformance suite over every provider: simulated ones over sockets, of the others all that needs no network."""

from __future__ import annotations

import msgspec
import pytest

from headgate.dialects.openai_chat import DIALECT as OPENAI_CHAT
from headgate.errors import HeadgateError
from headgate.providers import PROVIDERS, Auth, Provider
from headgate.testing.conformance import SUITE, Case, Nonconforming, conformance_cases, examine
from headgate.testing.parametrize import conformance_params

NEWCOMER = Provider(
    name="acme",
    label="Acme",
    base_url="https://api.acme.example/v1",
    chat=OPENAI_CHAT,
    auth=Auth(header="authorization", prefix="Bearer ", env=("ACME_API_KEY",)),
)
"""A third party's record: fifteen lines, no catalog file."""


@pytest.mark.parametrize("case", conformance_params(*PROVIDERS.values()))
def test_conformance(case: Case) -> None:
    case.run()


def test_a_record_of_a_third_party_is_examined_without_pytest() -> None:
    outcomes = list(examine(NEWCOMER))
    assert [str(outcome) for outcome in outcomes if outcome.result == "failed"] == []
    assert [outcome.name for outcome in outcomes] == [entry.name for entry in SUITE]
    skipped = {outcome.detail for outcome in outcomes if outcome.result == "skipped"}
    assert skipped == {
        "the provider has no default model",
        "the provider has no batch API",
        "the model does not think on request",
        "not simulated: the check needs an exchange",
    }


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"name": "Acme"}, "record-names"),
        ({"label": "Ac\x1bme"}, "record-names"),
        ({"base_url": "https://api.acme.example/v1/"}, "record-address"),
        ({"base_url": "http://api.acme.example/v1"}, "record-address"),
        ({"base_url": "https://user:secret@api.acme.example"}, "record-address"),
        ({"auth": Auth(header="authorization", prefix="Bearer\r\nx-more: ", env=("ACME_API_KEY",))}, "record-authentication"),
        ({"auth": Auth(header="Authorization", env=("ACME_API_KEY",))}, "record-authentication"),
        ({"auth": Auth(header="authorization")}, "record-authentication"),
        ({"auth": Auth(header="authorization", env=("acme key",))}, "record-authentication"),
        ({"auth": Auth(header="authorization", env=("ACME_API_KEY",), default="open-sesame")}, "record-authentication"),
        ({"headers": (("X-Version", "1"),)}, "record-headers"),
        ({"headers": (("x-version", "1\n2"),)}, "record-headers"),
        ({"headers": (("authorization", "Bearer 1"),)}, "record-headers"),
        ({"default_model": "no-such-model"}, "record-default-model"),
        ({"batch": PROVIDERS["openai"].batch}, "record-batch-complete-or-absent"),
        ({"batch_endpoint": "/v1/chat/completions"}, "record-batch-complete-or-absent"),
        ({"chat": msgspec.structs.replace(OPENAI_CHAT, parse_error=None)}, "record-chat-complete-or-absent"),
        ({"chat": msgspec.structs.replace(OPENAI_CHAT, parse_request=lambda body, path: None)}, "request-malformed"),
        ({"chat": msgspec.structs.replace(OPENAI_CHAT, parse_response=PROVIDERS["gemini"].chat.parse_response)}, "response-text"),
        ({"chat": msgspec.structs.replace(OPENAI_CHAT, stream_decoder=PROVIDERS["anthropic"].chat.stream_decoder)}, "stream-every-split"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_a_broken_record_is_caught(changes: dict[str, object], check: str) -> None:
    broken = msgspec.structs.replace(NEWCOMER, **changes)
    case = next(case for case in conformance_cases(broken) if case.name == check)
    assert case.skip is None
    with pytest.raises((Nonconforming, HeadgateError)):
        case.run()


def test_checks_are_skipped_by_ability_never_by_name() -> None:
    renamed = msgspec.structs.replace(PROVIDERS["anthropic"], name="acme", default_model=None)
    assert [case.skip for case in conformance_cases(renamed)][:4] == [None] * 4
    skips = {case.name: case.skip for case in conformance_cases(renamed) if case.skip}
    twin = {case.name: case.skip for case in conformance_cases(msgspec.structs.replace(renamed, name="other")) if case.skip}
    assert skips == twin
