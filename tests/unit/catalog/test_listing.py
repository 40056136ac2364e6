"""Lists of models, as each provider writes them."""

from __future__ import annotations

import pytest

from headgate.catalog.cards import ModelCard, Rates
from headgate.catalog.listing import LISTINGS, kind_of, list_models, listing_of
from headgate.errors import WireError
from headgate.wire.http import Reply, Send
from headgate.wire.json import Json, encode

DAY = "2026-11-21"


def run(provider: str, *pages: Json) -> tuple[tuple[ModelCard, ...], list[str]]:
    """The cards of a list that comes in these pages, and the paths that were asked for."""
    flow = list_models(LISTINGS[provider], DAY, f"a list, {DAY}", lambda reply: None)
    asked = []
    call = next(flow)
    try:
        for page in pages:
            assert isinstance(call, Send)
            asked.append(call.path)
            call = flow.send(Reply(200, {}, encode(page)))
    except StopIteration as stop:
        cards: tuple[ModelCard, ...] = stop.value
        return cards, asked
    raise AssertionError("another page is wanted")


def test_openai_names_models_and_nothing_else() -> None:
    cards, asked = run("openai", {"object": "list", "data": [{"id": "gpt-9", "owned_by": "openai"}, {"id": "text-embedding-9"}]})
    assert [(card.id, card.kind, card.prices, card.capabilities.context) for card in cards] == [
        ("gpt-9", "chat", (), None),
        ("text-embedding-9", "embedding", (), None),
    ]
    assert asked == ["/models"]


def test_groq_adds_sizes() -> None:
    (card,), _ = run(
        "groq", {"data": [{"id": "openai/gpt-oss-20b", "context_window": 131072, "max_completion_tokens": 65536, "active": True}]}
    )
    assert (card.capabilities.context, card.capabilities.max_output) == (131072, 65536)


def test_together_states_dollars_per_million() -> None:
    page = [
        {
            "id": "a/b",
            "type": "chat",
            "display_name": "B",
            "context_length": 4096,
            "pricing": {"input": 0.88, "output": 1.2, "cached_input": 0.1},
        },
        {"id": "free/one", "type": "chat", "pricing": {"input": 0, "output": 0, "hourly": 0}},
        {"id": "flux", "type": "image"},
    ]
    (sold, unknown, image), _ = run("together", page)
    assert (sold.display_name, sold.capabilities.context) == ("B", 4096)
    assert sold.prices[0].rates == Rates(input="0.88", output="1.2", cache_read="0.1")
    assert sold.prices[0].source == f"a list, {DAY}"
    assert unknown.prices == ()
    assert image.kind == "image"


def test_xai_states_cents_per_hundred_million_and_long_prompts() -> None:
    entry = {
        "id": "grok-4.3",
        "prompt_text_token_price": 12500,
        "cached_prompt_text_token_price": 2000,
        "completion_text_token_price": 25000,
        "prompt_text_token_price_long_context": 25000,
        "cached_prompt_text_token_price_long_context": 4000,
        "completion_text_token_price_long_context": 50000,
        "long_context_threshold": 200000,
        "context_length": 1000000,
    }
    (card,), asked = run("xai", {"models": [entry]})
    (price,) = card.prices
    assert price.rates == Rates(input="1.25", output="2.5", cache_read="0.2")
    assert [(tier.above, tier.rates) for tier in price.tiers] == [(199999, Rates(input="2.5", output="5", cache_read="0.4"))]
    assert asked == ["/language-models"]


def test_anthropic_and_gemini_come_in_pages() -> None:
    cards, asked = run(
        "anthropic",
        {
            "data": [{"id": "claude-a", "display_name": "A", "max_input_tokens": 200000, "max_tokens": 64000}],
            "has_more": True,
            "last_id": "claude-a",
        },
        {"data": [{"id": "claude-b"}], "has_more": False, "last_id": "claude-b"},
    )
    assert [(card.id, card.display_name, card.capabilities.context) for card in cards] == [
        ("claude-a", "A", 200000),
        ("claude-b", "claude-b", None),
    ]
    assert asked == ["/v1/models?limit=1000", "/v1/models?limit=1000&after_id=claude-a"]
    cards, asked = run(
        "gemini",
        {"models": [{"name": "models/gemini-a", "displayName": "A", "inputTokenLimit": 10, "outputTokenLimit": 5}], "nextPageToken": "t"},
        {"models": [{"name": "models/embed-b", "supportedGenerationMethods": ["embedContent"]}]},
    )
    assert [(card.id, card.kind, card.capabilities.max_output) for card in cards] == [
        ("gemini-a", "chat", 5),
        ("embed-b", "embedding", None),
    ]
    assert asked == ["/v1beta/models?pageSize=1000", "/v1beta/models?pageSize=1000&pageToken=t"]


def test_ollama_lists_what_is_on_the_machine() -> None:
    cards, asked = run("ollama", {"models": [{"name": "llama3.2:3b", "model": "llama3.2:3b", "size": 1}]})
    assert [card.id for card in cards] == ["llama3.2:3b"]
    assert asked == ["/api/tags"]


@pytest.mark.parametrize("page", [[], "x", {"data": "x"}, {"data": [1]}, {"data": [{}]}])
def test_what_is_no_list_is_an_error(page: Json) -> None:
    with pytest.raises(WireError):
        run("openai", page)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("gpt-6-luna", "chat"),
        ("gpt-realtime-2", "realtime"),
        ("omni-moderation-latest", "moderation"),
        ("gpt-4o-mini-tts", "speech"),
        ("gpt-4o-transcribe", "transcription"),
        ("gpt-image-2", "image"),
        ("sora-2", "video"),
        ("gpt-3.5-turbo-instruct", "completion"),
        ("Salesforce/Llama-Rerank-V1", "rerank"),
    ],
)
def test_kinds_by_name(name: str, kind: str) -> None:
    assert kind_of(name) == kind


def test_whose_list_is_asked_for() -> None:
    assert listing_of("xai", "openai_chat") is LISTINGS["xai"]
    assert listing_of("mine", "anthropic_messages") is LISTINGS["anthropic"]
    assert listing_of("sim-gemini", "gemini_generate") is LISTINGS["gemini"]
    assert listing_of("azure_openai", "openai_chat") is None
    assert listing_of("mine", "something_else") is None
