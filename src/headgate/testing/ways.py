"""The ways a chat request can take through a gateway, and what a client sees of each.

``fast`` is answered within the protocol, ``endpoint`` is the same request with a header that takes it to the endpoint, both on one wire;
``translated`` crosses two wires::

    seen = ask(rig, WAYS["translated"], stream=True)
    assert seen.complete and seen.text
"""

from __future__ import annotations

import http.client
import json
import time
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

import msgspec

from headgate.gateway.labels import SESSION_HEADER
from headgate.testing.gateway import Rig
from headgate.testing.raw_http import PATIENCE, RawWire, request_bytes
from headgate.wire.json import Json, JsonObject

QUESTION = "Tell me about harbours"
End = Literal["whole", "cut", "silent"]
_TERMINATORS = {"openai": b"data: [DONE]", "anthropic": b"event: message_stop"}


class Way(NamedTuple):
    """A surface, the provider behind it, and headers that choose the way."""

    surface: Literal["openai", "anthropic"]
    provider: str
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def path(self) -> str:
        """The path of the surface's chat endpoint."""
        return "/v1/chat/completions" if self.surface == "openai" else "/v1/messages"

    def body(self, *, stream: bool, **fields: Json) -> JsonObject:
        """A chat request for this way; `fields` go over what it has by itself."""
        turns: Json = [{"role": "user", "content": QUESTION}]
        return {"model": f"{self.provider}/sim-small", "max_tokens": 200, "messages": turns, "stream": stream, **fields}


WAYS = {
    "fast": Way("openai", "sim-openai"),
    "endpoint": Way("openai", "sim-openai", ((SESSION_HEADER, "s"),)),
    "translated": Way("openai", "sim-anthropic"),
    "fast anthropic": Way("anthropic", "sim-anthropic"),
    "translated anthropic": Way("anthropic", "sim-openai"),
}


class Seen(msgspec.Struct, frozen=True):
    """What a client saw. `end`: ``whole`` as HTTP frames it, ``cut`` before that, ``silent`` when its patience ended first."""

    surface: str
    status: int
    headers: dict[str, str]
    body: bytes
    end: End
    seconds: float

    @property
    def complete(self) -> bool:
        """A whole answer that is none of an error, or a stream with its terminator."""
        if self.status != 200 or self.end != "whole":
            return False
        if self.headers.get("content-type", "").startswith("text/event-stream"):
            return _TERMINATORS[self.surface] in self.body
        return "error" not in self.json()

    @property
    def failed_in_the_stream(self) -> bool:
        """An error event is the last one of a stream."""
        last = self.body.rstrip(b"\n").rpartition(b"\n\n")[2]
        return b'"error"' in last and _TERMINATORS[self.surface] not in self.body

    def json(self) -> JsonObject:
        """The body."""
        found = json.loads(self.body)
        assert isinstance(found, dict)
        return found

    @property
    def code(self) -> Json:
        """The code of an error in OpenAI's envelope, else its type."""
        error = self.json()["error"]
        assert isinstance(error, dict)
        return error.get("code") or error["type"]


def ask(rig: Rig, way: Way, *, stream: bool = False, patience: float = PATIENCE, key: str | None = None, **fields: Json) -> Seen:
    """One request on a connection of its own."""
    return asking(rig, way, json.dumps(way.body(stream=stream, **fields)).encode(), patience=patience, key=key)


def asking(rig: Rig, way: Way, body: bytes, *, patience: float = PATIENCE, key: str | None = None) -> Seen:
    """`ask` with a body as it is."""
    parts = urlsplit(rig.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=patience)
    headers = {"content-type": "application/json", "authorization": f"Bearer {key or rig.key}", **dict(way.headers)}
    start = time.monotonic()
    status, found, data, end = 0, {}, b"", "silent"
    try:
        connection.request("POST", way.path, body, headers)
        reply = connection.getresponse()
        status, found = reply.status, {name.lower(): value for name, value in reply.getheaders()}
        while piece := reply.read1():
            data += piece
        end = "whole"
    except (http.client.HTTPException, ConnectionError):
        end = "cut"
    except TimeoutError:
        end = "silent"
    finally:
        connection.close()
    return Seen(
        way.surface, status, found, data, "whole" if end == "whole" else "cut" if end == "cut" else "silent", time.monotonic() - start
    )


def begun(rig: Rig, way: Way, *, stream: bool = True, **fields: Json) -> RawWire:
    """A request that is sent and not read yet."""
    wire = RawWire(urlsplit(rig.url).port or 0)
    data = json.dumps(way.body(stream=stream, **fields)).encode()
    wire.send(request_bytes("POST", way.path, data, key=rig.key, **{name.replace("-", "_"): value for name, value in way.headers}))
    return wire


class Residue(msgspec.Struct, frozen=True):
    """What requests hold: nothing, once they are over. `permits` show where the gate limits how many of ``global`` there are at once."""

    upstream: int
    calls: int
    holds: int
    slots: int
    permits: int
    flights: int
    tasks: int


async def residue(rig: Rig) -> Residue:
    """What is held now. On the loop of the gateway."""
    spending, parts = rig.spending, rig.parts
    assert parts is not None
    await spending.drain()
    now = rig.loop.time()
    places = rig.limiter.headroom("global", now).concurrency
    standings = parts.router.snapshot(now).values()
    return Residue(
        upstream=rig.http.open_connections - rig.http.idle_connections,
        calls=rig.http.in_flight + rig.http.told,
        holds=spending.under_way,
        slots=spending.journal_depth,
        permits=0 if places is None else places.limit - places.remaining,
        flights=sum(standing.in_flight for standing in standings),
        tasks=len(parts.tasks),
    )


NOTHING = Residue(upstream=0, calls=0, holds=0, slots=0, permits=0, flights=0, tasks=0)


def settled(rig: Rig, seconds: float = 5.0) -> Residue:
    """What is held once nothing is, or `seconds` later."""
    deadline = time.monotonic() + seconds
    while True:
        found = rig.run(residue(rig))
        if found == NOTHING or time.monotonic() >= deadline:
            return found
        time.sleep(0.005)
