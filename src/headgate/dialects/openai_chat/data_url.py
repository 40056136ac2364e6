"""`data:` URLs (RFC 2397), read so that the same text is written back."""

from __future__ import annotations

import base64
from urllib.parse import unquote_to_bytes

import msgspec

_MAGIC = {"iVBOR": "image/png", "/9j/": "image/jpeg", "R0lGOD": "image/gif", "UklGR": "image/webp", "JVBERi": "application/pdf"}


class DataUrl(msgspec.Struct, frozen=True):
    """Media type and base64 text. `form` is empty for the usual spelling, else what `render_data_url` needs to repeat another one."""

    mime: str | None
    data: str
    form: str = ""


def parse_data_url(url: str) -> DataUrl | None:
    """Read a data URL, None when it is none. Parameters, upper case and percent-encoding are understood (case 41)."""
    if not url.startswith("data:") and url[:5].lower() != "data:":
        return None
    head, comma, data = url.partition(",")
    if not comma:
        return None
    kind, *parameters = [part.strip() for part in head[5:].split(";")]
    mime = kind.lower() or None
    if any(part.lower() == "base64" for part in parameters):
        canonical = mime is not None and head == f"data:{mime};base64"
        return DataUrl(mime, data, "" if canonical else head)
    return DataUrl(mime or "text/plain", base64.b64encode(unquote_to_bytes(data)).decode(), url)


def render_data_url(mime: str, data: str, form: str = "") -> str:
    """Write a data URL, in the spelling `form` when one was kept."""
    if not form:
        return f"data:{mime};base64,{data}"
    return form if "," in form else f"{form},{data}"


def sniff(data: str) -> str | None:
    """The media type that the first bytes of base64 text betray, if any."""
    return next((mime for start, mime in _MAGIC.items() if data.startswith(start)), None)
