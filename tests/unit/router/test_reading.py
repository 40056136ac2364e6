"""What request bodies say about routing."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.errors import Unsupported
from headgate.router.reading import needs_of, prefix_of, read_wish
from headgate.router.values import Wish

Json = dict[str, object]


def wish_of(body: Json, **more: object) -> Wish:
    raw = json.dumps(body).encode()
    return read_wish(raw, msgspec.json.decode(raw, type=dict[str, msgspec.Raw]), **more)  # type: ignore[arg-type]


def say(*content: Json) -> Json:
    return {"messages": [{"role": "user", "content": list(content)}]}


def test_what_may_stand_there_is_said() -> None:
    with pytest.raises(Unsupported, match="provider_hint must be one of local_preferred, cloud_preferred, best_quality, cheapest, not 'x'"):
        wish_of({"provider_hint": "x"})
    with pytest.raises(Unsupported) as caught:
        wish_of({"routing": {"strategie": "speed"}})
    assert caught.value.hint == "it may have strategy, max_cost, max_latency, preferred_providers, private, region"


NEEDS: list[tuple[Json, set[str]]] = [
    (say({"type": "text", "text": "hello"}), set()),
    ({"tools": [{"type": "function"}]}, {"tools"}),
    ({"tools": [], "functions": None, "logprobs": False, "n": 1}, set()),
    (say({"type": "image_url", "image_url": {"url": "data:"}}), {"vision"}),
    (say({"type": "image", "source": {}}), {"vision"}),
    ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, {"vision"}),
    ({"contents": [{"parts": [{"inlineData": {"mimeType": "image/png"}}]}]}, {"vision"}),
    ({"contents": [{"parts": [{"inline_data": {"mime_type": "application/pdf"}}]}]}, {"documents"}),
    (say({"type": "document"}), {"documents"}),
    (say({"type": "input_audio"}), {"audio"}),
    (say({"type": "text", "text": 'is {"type": "image"} an image?'}), set()),
    ({"response_format": {"type": "json_schema", "json_schema": {}}}, {"json_schema"}),
    ({"response_format": {"type": "json_object"}}, {"json_object"}),
    ({"response_format": {"type": "text"}}, set()),
    ({"text": {"format": {"type": "json_schema"}}}, {"json_schema"}),
    ({"output_config": {"format": {"type": "json_schema"}}}, {"json_schema"}),
    ({"generationConfig": {"responseMimeType": "application/json"}}, {"json_object"}),
    ({"generationConfig": {"responseSchema": {}}}, {"json_schema"}),
    ({"reasoning_effort": "high"}, {"reasoning"}),
    ({"reasoning_effort": "none"}, set()),
    ({"thinking": {"type": "enabled"}}, {"reasoning"}),
    ({"n": 3, "logprobs": True}, {"choices", "logprobs"}),
]


@pytest.mark.parametrize(("body", "wanted"), NEEDS)
def test_needs(body: Json, wanted: set[str]) -> None:
    assert wish_of(body).needs == wanted


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 7, "max_tokens": 5}, 7),
        ({"max_output_tokens": 9}, 9),
        ({"generationConfig": {"maxOutputTokens": 11}}, 11),
        ({"generationConfig": {"maxOutputTokens": "x"}}, None),
        ({"max_tokens": -1}, None),
        ({"max_tokens": "many"}, None),
        ({}, None),
    ],
)
def test_max_output(body: Json, wanted: int | None) -> None:
    assert wish_of(body).max_output == wanted


def test_everything_at_once() -> None:
    routing = {"strategy": "cost-based-routing", "max_cost": "0.02", "preferred_providers": ["Groq"], "private": True, "region": "eu"}
    body: Json = {"model": "chat", "provider": "openai", "provider_hint": "cheapest", "routing": routing, "user": "me"}
    wish = wish_of(body, model="chat", allowed=("chat",))
    assert (wish.model, wish.provider, wish.session, wish.allowed) == ("chat", "openai", "me", ("chat",))
    assert wish.wants is not None
    assert (wish.wants.strategy, wish.wants.hint, wish.wants.preferred) == ("cost_optimized", "cheapest", ("groq",))
    assert (wish.wants.max_cost, wish.wants.private, wish.wants.region) == (20_000_000, True, "eu")
    assert wish_of(body, session="ours").session == "ours"
    assert wish_of({"model": "x", "routing": None}).wants is None


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"provider_hint": "fast"}, "provider_hint"),
        ({"provider_hint": 5}, "provider_hint"),
        ({"provider": {"order": []}}, "provider"),
        ({"routing": {"strategy": "random"}}, "routing"),
        ({"routing": {"strateggy": "speed"}}, "routing"),
        ({"routing": {"max_cost": -1}}, "routing"),
        ({"routing": {"max_cost": "a lot"}}, "routing"),
        ({"routing": {"max_cost": "NaN"}}, "routing"),
        ({"routing": {"max_cost": 1e300}}, "routing"),
        ({"routing": []}, "routing"),
    ],
)
def test_what_cannot_be_is_refused_by_name(body: Json, param: str) -> None:
    with pytest.raises(Unsupported) as caught:
        wish_of(body)
    assert caught.value.param == param


def test_media_have_no_estimate() -> None:
    assert wish_of(say({"type": "image_url", "image_url": {"url": "data:" + "A" * 10_000}})).input_tokens is None
    assert wish_of({"messages": "x" * 4000}).input_tokens == pytest.approx(1005, abs=5)


def test_requests_that_begin_alike_share_a_prefix() -> None:
    system = {"role": "system", "content": "s" * 5000}
    one, other = ({"messages": [system, {"role": "user", "content": text}]} for text in ("a", "b"))
    assert wish_of(one).prefix == wish_of(other).prefix
    assert wish_of({"messages": [{"role": "user", "content": "a"}]}).prefix != wish_of(one).prefix


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
)
def test_any_body_can_be_read(value: object) -> None:
    body = {"messages": value, "tools": value, "n": value, "max_tokens": value, "generationConfig": value, "user": value}
    wish = wish_of(body)
    assert wish.needs <= {"tools", "vision", "documents", "audio", "choices", "json_schema", "json_object"}
    assert needs_of({}) == frozenset()
    assert prefix_of({}) == prefix_of({})
