"""Values for a JSON Schema: from ``name: value`` pairs found in a text where there are any, else made up from the schema and a seed.

For each property the last pair in the text that fits the property's type wins, so that a schema described in prose after the data
(``"total": <integer>``) does not hide the data.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import lru_cache

from headgate.sim.dice import HEX, Dice, token
from headgate.wire.json import Json, JsonObject

MAX_DEPTH = 12
SHALLOW_DEPTH = 6
MISSING = object()

_WORD_LIST = (
    "amber anchor autumn basin beacon bright canvas cedar clear copper coral distant ember evening fable gentle harbour hollow "
    "ivory juniper kindle lantern ledger linen marble meadow mellow morning narrow northern ochre orchard pebble plain quiet "
    "ribbon river saffron silver simple slate soft spruce steady summit timber tranquil upland valley velvet violet willow winter"
)
WORDS = tuple(_WORD_LIST.split())

_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?")
_NEXT_PAIR = re.compile(r"[,;]\s+[\"'`*]*[A-Za-z_][\w \-]{0,40}[\"'`*]*[ \t]*[:=][ \t]")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_]+")
_ANY_PAIR = re.compile(r"(?m)^[ \t]*(?:[-*•][ \t]+)?[\"'`*]*([A-Za-z_][\w \-]{0,40}?)[\"'`*]*[ \t]*[:=](?![=/])[ \t]*(?=\S)")
_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_raw_decode = json.JSONDecoder().raw_decode


class Filler:
    """Fills one schema from one text."""

    def __init__(self, root: JsonObject, text: str, *seed: object) -> None:
        self._root = root
        self._text = text
        self._dice = Dice("schema", *seed)

    def value(self) -> Json:
        """A value for the whole schema."""
        return self._make(self._root, None, 0)

    def _make(self, schema: Json, name: str | None, depth: int) -> Json:
        node = self._resolve(schema)
        if name is not None:
            found = self._from_text(node, name)
            if found is not MISSING:
                return found
        return self._synthesise(node, depth)

    def _resolve(self, schema: Json) -> JsonObject:
        """Follow local references, merge `allOf`, choose the first usable branch of a union."""
        node: JsonObject = schema if isinstance(schema, dict) else {}
        for _ in range(MAX_DEPTH):
            if "$ref" in node:
                rest = {key: item for key, item in node.items() if key != "$ref"}
                node = {**self._pointer(str(node["$ref"])), **rest}
            elif isinstance(node.get("allOf"), list):
                node = _merged(node, [self._resolve(part) for part in node["allOf"]])
            elif union := node.get("anyOf") or node.get("oneOf"):
                rest = {key: item for key, item in node.items() if key not in ("anyOf", "oneOf")}
                node = {**rest, **_first_branch(union)}
            else:
                break
        return node

    def _pointer(self, ref: str) -> JsonObject:
        if not ref.startswith("#"):
            return {}
        node: Json = self._root
        for part in ref[1:].strip("/").split("/") if len(ref) > 1 else ():
            key = part.replace("~1", "/").replace("~0", "~")
            node = node.get(key, {}) if isinstance(node, dict) else {}
        return node if isinstance(node, dict) else {}

    def _from_text(self, node: JsonObject, name: str) -> Json:
        for start, line in _candidates(self._text, name):
            found = self._coerce(node, line, self._text, start)
            if found is not MISSING:
                return found
        return MISSING

    def _coerce(self, node: JsonObject, line: str, text: str, start: int) -> Json:
        if "const" in node:
            return node["const"]
        if isinstance(node.get("enum"), list):
            return _enum_member(node["enum"], _clean(line))
        kind = kind_of(node)
        if kind in ("array", "object"):
            return self._container(node, kind, line, text, start)
        coerce = _COERCE.get(kind)
        found = MISSING if coerce is None else coerce(line)
        return found if found is MISSING or _within(node, found) else MISSING

    def _container(self, node: JsonObject, kind: str, line: str, text: str, start: int) -> Json:
        if text[start : start + 1] == ("[" if kind == "array" else "{"):
            try:
                value, _ = _raw_decode(text, start)
            except ValueError:
                return MISSING
            return value if _looks_like(node, value) else MISSING
        items = self._resolve(node.get("items"))
        if kind == "array" and kind_of(items) in ("string", "integer", "number"):
            parts = [self._coerce(items, part.strip(), "", 0) for part in _clean(line).split(",") if part.strip()]
            return parts if parts and MISSING not in parts else MISSING
        return MISSING

    def _synthesise(self, node: JsonObject, depth: int) -> Json:
        if "const" in node:
            return node["const"]
        if isinstance(node.get("enum"), list) and node["enum"]:
            return self._dice.pick(node["enum"])
        kind = kind_of(node)
        if kind == "object":
            return self._object(node, depth)
        if kind == "array":
            return self._array(node, depth)
        return _PLAIN[kind](node, self._dice)

    def _object(self, node: JsonObject, depth: int) -> JsonObject:
        properties = node.get("properties")
        required = node.get("required") or ()
        made: JsonObject = {}
        for name, schema in properties.items() if isinstance(properties, dict) else ():
            if depth < SHALLOW_DEPTH or name in required:
                made[name] = self._make(schema, name, depth + 1) if depth < MAX_DEPTH else None
        return made

    def _array(self, node: JsonObject, depth: int) -> list[Json]:
        low = _limit(node, "minItems", 1 if depth < SHALLOW_DEPTH else 0)
        high = max(low, _limit(node, "maxItems", low + 2))
        items = self._resolve(node.get("items"))
        size = low + self._dice.below(min(high, low + 2) - low + 1)
        if isinstance(items.get("enum"), list) and node.get("uniqueItems"):
            return list(items["enum"])[:size]
        prefix = node.get("prefixItems")
        if isinstance(prefix, list):
            return [self._make(part, None, depth + 1) for part in prefix]
        return [self._synthesise(items, depth + 1) for _ in range(size)]


def kind_of(node: JsonObject) -> str:
    """The one JSON type a schema node asks for; Gemini's upper-case names and nullable lists included."""
    kind = node.get("type")
    if isinstance(kind, list):
        kind = next((item for item in kind if str(item).lower() != "null"), "null")
    if isinstance(kind, str) and kind.lower() in _KINDS:
        return kind.lower()
    if "properties" in node:
        return "object"
    return "array" if "items" in node else "string"


def pairs(text: str) -> JsonObject:
    """Every ``name: value`` line of a text, names in snake case, values read as JSON where they are; the last of a name wins."""
    found: JsonObject = {}
    for match in _ANY_PAIR.finditer(text):
        line = _clean(_one_line(text, match.end()))
        if line:
            found["_".join(match[1].lower().replace("-", " ").split())] = _literal(line)
    return found


def _looks_like(node: JsonObject, value: Json) -> bool:
    """Whether an object found in the text is data rather than, say, the schema itself."""
    properties = node.get("properties")
    return not (isinstance(value, dict) and properties) or any(name in value for name in properties)


def _literal(line: str) -> Json:
    try:
        value: Json = json.loads(line)
    except ValueError:
        return line
    return value


def _merged(node: JsonObject, parts: list[JsonObject]) -> JsonObject:
    merged: JsonObject = {key: item for key, item in node.items() if key != "allOf"}
    for part in parts:
        for key, item in part.items():
            if key == "properties":
                merged[key] = {**merged.get(key, {}), **item}
            elif key == "required":
                merged[key] = [*merged.get(key, []), *item]
            else:
                merged.setdefault(key, item)
    return merged


def _first_branch(union: Json) -> JsonObject:
    branches = [part for part in union if isinstance(part, dict)] if isinstance(union, list) else []
    usable = [part for part in branches if str(part.get("type")).lower() != "null"]
    return (usable or branches or [{}])[0]


@lru_cache(maxsize=1024)
def _pattern(name: str) -> re.Pattern[str]:
    words = [re.escape(word) for word in _WORD.findall(name)] or [re.escape(name)]
    mark = "[\"'`*]{0,3}"
    return re.compile(rf"(?i)(?<![A-Za-z0-9_]){mark}{'[ _-]?'.join(words)}{mark}[ \t]*[:=](?![=/])\**[ \t]*(?=\S)")


def _candidates(text: str, name: str) -> Iterator[tuple[int, str]]:
    """``(offset, rest of the line)`` of every pair with this name, last first."""
    for match in reversed(list(_pattern(name).finditer(text))):
        yield match.end(), _one_line(text, match.end())


def _one_line(text: str, start: int) -> str:
    end = text.find("\n", start)
    line = text[start : None if end < 0 else end]
    following = _NEXT_PAIR.search(line)
    return line[: following.start()] if following else line


def _clean(line: str) -> str:
    """A value without the punctuation and quotes around it."""
    bare = line.strip().rstrip(",;").strip()
    for quote in "\"'`":
        if len(bare) > 1 and bare[0] == quote and quote in bare[1:]:
            return bare[1 : bare.index(quote, 1)]
    return bare.strip("*").strip()


def _integer(line: str) -> Json:
    found = _number(line)
    return int(found) if found is not MISSING and found == int(found) else MISSING


def _number(line: str) -> Json:
    match = _NUMBER.match(_clean(line))
    if match is None:
        return MISSING
    value = float(match[0].replace(",", ""))
    return int(value) if value == int(value) and "." not in match[0] else value


def _boolean(line: str) -> Json:
    words = re.findall(r"\w+", line.lower())
    undecided = len([word for word in words if word in _BOOLEANS]) > 1
    return _BOOLEANS.get(words[0], MISSING) if words and not undecided else MISSING


def _string(line: str) -> Json:
    bare = _clean(line)
    placeholder = not bare or bare.startswith(("<", "...", "…", "{", "["))
    return MISSING if placeholder else bare


def _null(line: str) -> Json:
    return None if _clean(line).lower() in ("null", "none") else MISSING


_COERCE: dict[str, Callable[[str], Json]] = {
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "string": _string,
    "null": _null,
}
_KINDS = frozenset({*_COERCE, "array", "object"})


def _normal(value: Json) -> str:
    return re.sub(r"[\s_\-.]+", " ", str(value)).strip().casefold()


def _enum_member(options: list[Json], bare: str) -> Json:
    for option in options:
        if option == bare or str(option) == bare:
            return option
    wanted = _normal(bare)
    return next((option for option in options if _normal(option) == wanted), MISSING)


def _bound(node: JsonObject, key: str) -> float | None:
    value = node.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _limit(node: JsonObject, key: str, default: int) -> int:
    """A count from a schema; Gemini writes counts as strings."""
    value = node.get(key, default)
    return int(value) if isinstance(value, int) or (isinstance(value, str) and value.isdigit()) else default


def _within(node: JsonObject, value: Json) -> bool:
    if isinstance(value, str):
        return _limit(node, "minLength", 0) <= len(value) <= _limit(node, "maxLength", len(value))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return True
    low, high = _bound(node, "minimum"), _bound(node, "maximum")
    over, under = _bound(node, "exclusiveMinimum"), _bound(node, "exclusiveMaximum")
    return (
        (low is None or value >= low)
        and (high is None or value <= high)
        and (over is None or value > over)
        and (under is None or value < under)
    )


def _range(node: JsonObject, step: float) -> tuple[float, float]:
    low, high = _bound(node, "minimum"), _bound(node, "maximum")
    over, under = _bound(node, "exclusiveMinimum"), _bound(node, "exclusiveMaximum")
    low = over + step if low is None and over is not None else low
    high = under - step if high is None and under is not None else high
    if low is None:
        low = 0.0 if high is None or high >= 0 else high - 100
    return low, max(low, low + 100 if high is None else high)


def _make_integer(node: JsonObject, dice: Dice) -> Json:
    low, high = _range(node, 1)
    step = _limit(node, "multipleOf", 1) or 1
    first, last = -int(-low // step), int(high // step)
    return step * (first + dice.below(max(last - first, 0) + 1))


def _make_number(node: JsonObject, dice: Dice) -> Json:
    low, high = _range(node, 0.001)
    return round(min(high, low + (high - low) * dice.below(1001) / 1000), 6)


def _make_boolean(node: JsonObject, dice: Dice) -> Json:
    return bool(dice.below(2))


def _make_null(node: JsonObject, dice: Dice) -> Json:
    return None


def _make_string(node: JsonObject, dice: Dice) -> Json:
    made = _FORMATS.get(str(node.get("format")))
    if made is not None:
        return made(dice)
    low = _limit(node, "minLength", 0)
    high = max(low, _limit(node, "maxLength", max(low + 40, 60)))
    text = " ".join(dice.pick(WORDS) for _ in range(3))
    while len(text) < low:
        text += " " + dice.pick(WORDS)
    return text[:high]


def _day(dice: Dice) -> str:
    return f"20{10 + dice.below(20)}-{1 + dice.below(12):02}-{1 + dice.below(28):02}"


def _hour(dice: Dice) -> str:
    return f"{dice.below(24):02}:{dice.below(60):02}:{dice.below(60):02}Z"


def _uuid(dice: Dice) -> str:
    digits = token(HEX, 32, dice.below(1 << 60))
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


_FORMATS: dict[str, Callable[[Dice], str]] = {
    "date": _day,
    "time": _hour,
    "date-time": lambda dice: f"{_day(dice)}T{_hour(dice)}",
    "uuid": _uuid,
    "email": lambda dice: f"{dice.pick(WORDS)}@example.com",
    "uri": lambda dice: f"https://example.com/{dice.pick(WORDS)}",
    "hostname": lambda dice: f"{dice.pick(WORDS)}.example.com",
    "ipv4": lambda dice: f"192.0.2.{dice.below(256)}",
    "duration": lambda dice: f"PT{1 + dice.below(59)}M",
}
_PLAIN: dict[str, Callable[[JsonObject, Dice], Json]] = {
    "integer": _make_integer,
    "number": _make_number,
    "boolean": _make_boolean,
    "string": _make_string,
    "null": _make_null,
}
