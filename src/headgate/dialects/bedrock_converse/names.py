"""Paths of the Converse wire: the model and the choice of streaming live in the URL (Amazon Bedrock API reference, "Converse")."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import quote, unquote

from headgate.errors import WireError


@lru_cache(maxsize=256)
def parse_path(path: str, whole: str = "converse", streamed: str = "converse-stream") -> tuple[str, bool]:
    """Model and streaming of ``/model/{modelId}/converse``. Raises `WireError` with param "model"."""
    found = re.fullmatch(rf"/?model/(.+)/({re.escape(whole)}|{re.escape(streamed)})", path.partition("?")[0])
    if found is None:
        raise WireError(f"the path {path!r} names no model: expected /model/MODEL/{whole} or /model/MODEL/{streamed}", param="model")
    return unquote(found[1]), found[2] == streamed


@lru_cache(maxsize=256)
def render_path(model: str, operation: str) -> str:
    """The path of a call; the model id, which may be an ARN, is one percent-encoded segment."""
    return f"/model/{quote(model, safe='-_.~')}/{operation}"
