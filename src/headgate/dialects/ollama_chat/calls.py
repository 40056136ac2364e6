"""Tool calls, in both directions, and the ids of those that came without one.

Arguments are a JSON object on this wire. Older servers give calls no id and results no `tool_call_id`: ids are then made up, the same
whenever the same bytes are read, and never written back (case 26).

Marks in `ToolCall.form`, separated by blanks: "id:absent", "arguments:absent", "arguments:null", "arguments:text".
"""

from __future__ import annotations

from collections import deque

from headgate.dialects.ollama_chat.values import as_object, json_text, malformed
from headgate.domain.content import ToolCall
from headgate.wire.json import Json, JsonObject, obj, type_name

SYNTHETIC = "call_ollama_"
"""Prefix of the ids made up for calls that came without one."""


class CallIds:
    """Hands out ids for the calls of one body, and finds the call a result without an id belongs to."""

    __slots__ = ("_count", "_queues", "_seed", "_waiting")

    def __init__(self, seed: str = "") -> None:
        self._seed = seed
        self._count = 0
        self._waiting: set[str] = set()
        self._queues: dict[str | None, deque[str]] = {None: deque()}

    def place(self, seed: str) -> None:
        """Ids from here on are named after `seed`."""
        self._seed, self._count = seed, 0

    def made(self) -> str:
        """The next made-up id."""
        self._count += 1
        return f"{SYNTHETIC}{self._seed}_{self._count - 1}"

    def asked(self, call_id: str, name: str) -> None:
        """A call waits for its result."""
        self._waiting.add(call_id)
        for key in (None, name):
            self._queues.setdefault(key, deque()).append(call_id)

    def answered(self, call_id: str | None, name: str | None) -> str:
        """The id of the call a result belongs to: stated, or the first waiting one (of that name, when there is one)."""
        if call_id is None:
            call_id = self._first(name)
        if call_id is None:
            return self.made()
        self._waiting.discard(call_id)
        return call_id

    def _first(self, name: str | None) -> str | None:
        """The first waiting call, of that name if there is one; those before it were answered and are forgotten."""
        queue = self._queues.get(name) or deque()
        while queue and queue[0] not in self._waiting:
            queue.popleft()
        return queue[0] if queue else None


def is_synthetic(call_id: str) -> bool:
    """Whether an id was made up by us, so that the server does not know it."""
    return not call_id or call_id.startswith(SYNTHETIC)


_OUTER = frozenset(("id", "function"))
_INNER = frozenset(("name", "arguments"))


def parse_call(item: Json, path: str, ids: CallIds) -> ToolCall:
    """Read one item of `tool_calls`. Raises `WireError` naming `path` for one without a function, a name, or with odd arguments."""
    raw = obj(item, path)
    function = obj(raw.get("function"), f"{path}.function")
    name = function.get("name")
    if not isinstance(name, str):
        raise malformed(f"{path}.function.name", f"a string, not {type_name(name)}")
    arguments, marks = _arguments(function, f"{path}.function.arguments")
    extra = {} if _OUTER.issuperset(raw) else {key: value for key, value in raw.items() if key not in _OUTER}
    inner = {} if _INNER.issuperset(function) else {key: value for key, value in function.items() if key not in _INNER}
    if inner:
        extra["function"] = inner
    call_id = raw.get("id")
    if not isinstance(call_id, str) or not call_id:
        if "id" in raw:
            extra["id"] = call_id
        marks.append("id:absent")
        call_id = ids.made()
    ids.asked(call_id, name)
    return ToolCall(call_id, name, arguments, extra=extra or None, form=" ".join(marks))


def _arguments(function: JsonObject, path: str) -> tuple[str, list[str]]:
    """Arguments as JSON text, and the mark of their spelling."""
    value = function.get("arguments")
    if isinstance(value, dict):
        return json_text(value, path), []
    if isinstance(value, str):
        return value, ["arguments:text"]
    if value is not None:
        raise malformed(path, f"an object, not {type_name(value)}")
    return "", ["arguments:null" if "arguments" in function else "arguments:absent"]


def render_own_call(call: ToolCall) -> JsonObject | None:
    """A call that came from this wire, as it was; None when its arguments are no JSON object."""
    marks = call.form.split()
    inner: JsonObject = {"name": call.name}
    if "arguments:text" in marks:
        inner["arguments"] = call.arguments
    elif "arguments:null" in marks:
        inner["arguments"] = None
    elif "arguments:absent" not in marks:
        arguments = arguments_of(call)
        if arguments is None:
            return None
        inner["arguments"] = arguments
    shape: JsonObject = {} if "id:absent" in marks else {"id": call.id}
    extra = dict(call.extra or {})
    inner.update(extra.pop("function", {}))
    return {**shape, "function": inner, **extra}


def render_call(call: ToolCall) -> JsonObject | None:
    """A call of any origin for a request; None when its arguments are no JSON object. Ids the server did not give stay here."""
    arguments = arguments_of(call)
    if arguments is None:
        return None
    shape: JsonObject = {"function": {"name": call.name, "arguments": arguments}}
    return shape if is_synthetic(call.id) else {"id": call.id, **shape}


def render_answer_call(call: ToolCall, index: int) -> JsonObject | None:
    """The call number `index` of an answer of any origin, as newer servers write it; None when its arguments are no JSON object."""
    arguments = arguments_of(call)
    if arguments is None:
        return None
    return {"id": call.id, "function": {"index": index, "name": call.name, "arguments": arguments}}


def arguments_of(call: ToolCall) -> JsonObject | None:
    """The arguments as an object ("" means none, case 15); None for text that is none."""
    return as_object(call.arguments) if call.arguments.strip() else {}
