"""Named peculiarities, and the paths of providers that place models differently."""

from __future__ import annotations

import msgspec
import pytest

from headgate.dialects import openai_chat
from headgate.domain.capabilities import ANY_MODEL
from headgate.domain.fold import fold
from headgate.errors import ConfigError, Truncated
from headgate.providers import azure_openai, vertex
from headgate.providers.quirks import QUIRKS, with_quirks
from headgate.testing import samples

CHOICE = b'{"index":0,"delta":{"content":"Hi"},"finish_reason":%s}'
CHUNK = b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[' + CHOICE + b"]}\n\n"


def test_a_stream_without_done_ends_after_its_finish_reason() -> None:
    decoder = with_quirks(openai_chat.DIALECT, ("no_done",)).stream_decoder()
    events = [*decoder.feed(CHUNK % b"null"), *decoder.feed(CHUNK % b'"stop"'), *decoder.close()]
    assert fold(events, "openai_chat").text == "HiHi"


def test_a_stream_that_was_cut_is_still_cut() -> None:
    decoder = with_quirks(openai_chat.DIALECT, ("no_done",)).stream_decoder()
    decoder.feed(CHUNK % b"null")
    with pytest.raises(Truncated):
        decoder.close()


def test_fields_a_provider_refuses_are_dropped_with_a_note() -> None:
    request = msgspec.structs.replace(samples.PLAIN, stream=True, stream_usage=True, logprobs=True, metadata={"a": "b"})
    for quirk, field in (("no_stream_options", "stream_options"), ("no_logprobs", "logprobs"), ("no_platform_fields", "metadata")):
        assert field in openai_chat.DIALECT.render_request(request, ANY_MODEL).payload
        rendered = with_quirks(openai_chat.DIALECT, (quirk,)).render_request(request, ANY_MODEL)
        assert field not in rendered.payload
        assert field in {note.field for note in rendered.notes if note.action == "dropped"}
    plain = with_quirks(openai_chat.DIALECT, tuple(QUIRKS)).render_request(samples.PLAIN, ANY_MODEL)
    assert plain == openai_chat.DIALECT.render_request(samples.PLAIN, ANY_MODEL)


def test_an_unknown_quirk_is_refused() -> None:
    with pytest.raises(ConfigError, match="no quirk 'odd'; known are no_done"):
        with_quirks(openai_chat.DIALECT, ("odd",))


@pytest.mark.parametrize(
    ("path", "placed"),
    [
        ("/chat/completions", "/openai/deployments/my%20gpt/chat/completions?api-version=v1"),
        ("/embeddings", "/openai/deployments/my%20gpt/embeddings?api-version=v1"),
        ("/files?limit=3", "/openai/files?limit=3&api-version=v1"),
        ("/batches/b1", "/openai/batches/b1?api-version=v1"),
    ],
)
def test_azure_keeps_models_under_deployments(path: str, placed: str) -> None:
    assert azure_openai.route(path, "my gpt", {"api_version": "v1"}) == placed


@pytest.mark.parametrize("version", ["v1", "v1beta", "v1beta1/projects/another/locations/there/publishers/google"])
def test_vertex_keeps_models_under_a_project(version: str) -> None:
    placed = vertex.route(f"/{version}/models/gemini-x:streamGenerateContent?alt=sse", "gemini-x", {"project": "p", "location": "l"})
    assert placed == "/v1beta1/projects/p/locations/l/publishers/google/models/gemini-x:streamGenerateContent?alt=sse"
