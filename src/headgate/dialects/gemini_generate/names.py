"""Names and paths of the Gemini wire: the model and the choice of streaming live in the URL, not in the body.

Source: Gemini API reference, `models.generateContent` and `models.streamGenerateContent`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import quote, unquote

import msgspec

from headgate.errors import WireError

NAME = "gemini_generate"
VERSION = "v1beta"
SYNTHETIC = "call_hg_"
"""Prefix of the call ids made up for calls that came without one. They never go back to the wire they did not come from."""

_PATH = re.compile(
    r"(?:/?(v[0-9][a-z0-9]*))?/?(projects/[^/?#]+/locations/[^/?#]+/publishers/[^/?#]+/)?"
    r"((?:models|tunedModels)/[^:?#]+):(generateContent|streamGenerateContent)(?:\?(.*))?"
)


_PLAIN = re.compile(r"[0-9A-Za-z/._-]+")


class Target(msgspec.Struct, frozen=True):
    """What a path says. `form` holds spelling marks: another API version, what the model lies below on Vertex, a stream as a JSON array."""

    model: str
    stream: bool
    form: tuple[str, ...] = ()


@lru_cache(maxsize=256)
def parse_path(path: str) -> Target:
    """Read model and streaming from ``/v1beta/models/{model}:generateContent``. Raises `WireError` with param "model"."""
    match = _PATH.fullmatch(path)
    if match is None:
        raise WireError(f"the path {path!r} names no model: expected /{VERSION}/models/MODEL:generateContent", param="model")
    version, below, resource, method, query = match.groups()
    form = []
    if version not in (None, VERSION):
        form.append(f"version:{version}")
    if below is not None:
        form.append(f"below:{below}")
    stream = method == "streamGenerateContent"
    if stream and "alt=sse" not in (query or "").split("&"):
        form.append("stream:array")
    return Target(unquote(resource.removeprefix("models/")), stream, tuple(form))


def resource(model: str) -> str:
    """The resource name of a model: ``models/x`` unless it already names a collection."""
    return model if model.startswith(("models/", "tunedModels/")) else f"models/{model}"


@lru_cache(maxsize=256)
def quoted_resource(model: str) -> str:
    """The resource name as it stands in a path."""
    name = resource(model)
    return name if _PLAIN.fullmatch(name) else quote(name, safe="/-_.~@")


def render_path(model: str, *, stream: bool, form: tuple[str, ...] = ()) -> str:
    """The path of a generate call, relative to the provider's base URL."""
    version = next((mark[8:] for mark in form if mark.startswith("version:")), VERSION) if form else VERSION
    below = next((mark[6:] for mark in form if mark.startswith("below:")), "") if form else ""
    name = below + quoted_resource(model)
    if not stream:
        return f"/{version}/{name}:generateContent"
    return f"/{version}/{name}:streamGenerateContent{'' if 'stream:array' in form else '?alt=sse'}"


def synthetic_id(seed: str, number: int) -> str:
    """A call id that is the same whenever the same body is read."""
    return f"{SYNTHETIC}{seed}_{number}"
