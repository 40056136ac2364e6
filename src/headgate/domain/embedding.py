"""Embeddings as values: texts in, vectors out."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from headgate.domain.usage import Usage
from headgate.wire.json import JsonObject

EmbedInput: TypeAlias = str | tuple[int, ...]
"""A text, or the tokens of one."""
Encoding: TypeAlias = Literal["float", "base64"]


class EmbedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Texts to embed. None always means "not said".

    `task` is what the vectors are for: one of "query", "document", "similarity", "classification", "clustering", "question_answering",
    "fact_verification", "code_query", or a word of the provider's own. `encoding` is how the caller wants vectors written. `extra`
    and `form` belong to `dialect`, as in `domain.request.Request`; so does `each`, further keys of single inputs by their place
    (empty: none has any).
    """

    model: str
    inputs: tuple[EmbedInput, ...]
    dimensions: int | None = None
    encoding: Encoding | None = None
    task: str | None = None
    user: str | None = None
    dialect: str = ""
    extra: JsonObject | None = None
    each: tuple[JsonObject | None, ...] = ()
    form: tuple[str, ...] = ()


class Embedding(msgspec.Struct, frozen=True):
    """The vector of the input number `index`."""

    index: int
    values: tuple[float, ...]
    extra: JsonObject | None = None


class EmbedResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The vectors of one request, in the order of its inputs."""

    embeddings: tuple[Embedding, ...]
    model: str = ""
    usage: Usage | None = None
    id: str = ""
    dialect: str = ""
    extra: JsonObject | None = None
    form: tuple[str, ...] = ()
