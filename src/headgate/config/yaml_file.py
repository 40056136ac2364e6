"""``headgate.yaml``: a mapping of setting names to values, each with its place for messages."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path

import msgspec
import yaml

from headgate.errors import ConfigError

LARGEST = 1 << 20
_SCALARS = {"tag:yaml.org,2002:str", "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"}
_NULL = "tag:yaml.org,2002:null"


class Placed(msgspec.Struct, frozen=True):
    """A value as it was written (a mapping as JSON), and where: ``headgate.yaml:3:7``."""

    text: str
    where: str


def read_settings_file(path: Path, known: Collection[str], mappings: Collection[str] = ()) -> dict[str, Placed]:
    """The settings in `path`, nulls left out; those of `mappings` are mappings, the others single values.

    Raises `ConfigError` with line and column for an unknown or repeated name, or a value of the wrong kind.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise ConfigError(f"larger than {LARGEST:,} bytes", where=str(path))
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=str(path), hint=f"ls -l {path}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8 text (byte {error.start})", where=str(path), hint=f"file {path}") from error
    except yaml.MarkedYAMLError as error:
        raise ConfigError(f"not valid YAML: {error.problem}", where=_place(path, error.problem_mark)) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"not valid YAML: {error}", where=str(path)) from error
    if root is None:
        return {}
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError("must be a mapping of settings, such as `gateway_port: 6120`", where=_place(path, root.start_mark))
    return _settings(path, root, known, mappings)


def _settings(path: Path, root: yaml.MappingNode, known: Collection[str], mappings: Collection[str]) -> dict[str, Placed]:
    found: dict[str, Placed] = {}
    for key, value in root.value:
        name = key.value if isinstance(key, yaml.ScalarNode) else ""
        where = _place(path, key.start_mark)
        if name not in known:
            close = get_close_matches(name, known, n=1)
            meant = f' (did you mean "{close[0]}"?)' if close else f"; known are {', '.join(sorted(known))}"
            raise ConfigError(f'unknown key "{name}"{meant}', where=where, hint="headgate doctor")
        if name in found:
            raise ConfigError(f'the key "{name}" stands here twice', where=where)
        if value.tag == _NULL:
            continue
        place = _place(path, value.start_mark)
        if name in mappings:
            found[name] = Placed(_mapping(path, name, value), place)
            continue
        if not isinstance(value, yaml.ScalarNode) or value.tag not in _SCALARS:
            raise ConfigError(f"{name} must be a text or a number", where=place)
        found[name] = Placed(value.value, place)
    return found


def _mapping(path: Path, name: str, node: yaml.Node) -> str:
    """A mapping as JSON text."""
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{name} must be a mapping", where=_place(path, node.start_mark))
    try:
        value = yaml.constructor.SafeConstructor().construct_document(node)
        return msgspec.json.encode(value).decode()
    except yaml.MarkedYAMLError as error:
        raise ConfigError(f"not valid YAML: {error.problem}", where=_place(path, error.problem_mark)) from error
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name} holds a value that is no text, number, list or mapping", where=_place(path, node.start_mark)) from error


def _place(path: Path, mark: yaml.Mark | None) -> str:
    return str(path) if mark is None else f"{path}:{mark.line + 1}:{mark.column + 1}"
