"""One request for vectors: split, checked, counted."""

from __future__ import annotations

import pytest

from headgate.client.embeddings import portions, read_vectors
from headgate.domain.embedding import EmbedRequest
from headgate.errors import ErrorKind, ProviderError, Unsupported
from headgate.testing.gateway import sim_resolver
from headgate.wire.http import Reply
from headgate.wire.json import encode

TARGET = sim_resolver("http://127.0.0.1:1")("sim-openai/sim-small")
GEMINI = sim_resolver("http://127.0.0.1:1")("sim-gemini/sim-small")


def reply(vectors: int, **more: object) -> Reply:
    data = [{"object": "embedding", "index": n, "embedding": [float(n)]} for n in range(vectors)]
    return Reply(200, {"content-type": "application/json"}, encode({"object": "list", "data": data, "model": "m", **more}))


def test_portions_keep_the_order_and_the_limit_of_the_provider() -> None:
    request = EmbedRequest(model="x", inputs=tuple(map(str, range(205))))
    parts = portions(GEMINI, request)
    assert [len(part.request.inputs) for part in parts] == [100, 100, 5]
    assert tuple(text for part in parts for text in part.request.inputs) == request.inputs
    assert {part.request.model for part in parts} == {"sim-small"}


@pytest.mark.parametrize("inputs", [("a text of twenty-four b.",), (tuple(range(6)),)])
def test_case_52_usage_that_is_not_told_is_estimated(inputs: tuple[str | tuple[int, ...], ...]) -> None:
    found = read_vectors(TARGET, reply(1), EmbedRequest(model="m", inputs=inputs)).usage
    assert found is not None and (found.input_total, found.source) == (6, "estimated")


def test_usage_of_zero_for_a_text_is_not_believed() -> None:
    found = read_vectors(TARGET, reply(1, usage={"prompt_tokens": 0, "total_tokens": 0}), EmbedRequest(model="m", inputs=("text",))).usage
    assert found is not None and (found.input_total, found.source) == (1, "estimated")


@pytest.mark.parametrize("count", [0, 1, 3])
def test_another_number_of_vectors_is_no_answer(count: int) -> None:
    with pytest.raises(ProviderError) as failed:
        read_vectors(TARGET, reply(count), EmbedRequest(model="m", inputs=("a", "b")))
    assert (failed.value.kind, failed.value.code) == (ErrorKind.SERVER, "upstream_bad_content")


def test_nothing_to_embed() -> None:
    with pytest.raises(Unsupported) as refused:
        portions(TARGET, EmbedRequest(model="m", inputs=()))
    assert refused.value.param == "input"
