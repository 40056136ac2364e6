"""What the command line says of a run's inputs: another items file, and the ids of the units that are wanted (OCT-48)."""

from __future__ import annotations

from pathlib import Path

from headgate.batch.item_readers import READERS
from headgate.batch.pipeline import Pipeline
from headgate.errors import ConfigError, UsageError, WireError
from headgate.wire.json import decode

FORMATS = frozenset({"yaml", "yml", "json", *READERS})
MAX_LIST = 256 << 20
_SHOWN = 5


def given_file(text: str, option: str) -> Path:
    """The file that an option names. Raises `UsageError` for a pipe, which could not be read a second time, and for what is no file."""
    path = Path(text)
    if text == "-" or (path.exists() and not path.is_file() and not path.is_dir()):
        raise UsageError(f"{option} needs a file that can be read again, not a pipe", hint=f"save it: … > FILE; then {option} FILE")
    if not path.is_file():
        raise UsageError(f"{option}: there is no file {text!r}")
    return path


def given_items(text: str) -> Path:
    """The items file that ``--items`` names. Raises `UsageError`."""
    path = given_file(text, "--items")
    if path.suffix.removeprefix(".").lower() not in FORMATS:
        raise UsageError(f"--items: the format of {path.name!r} is not known", hint=f"known: {', '.join(sorted(FORMATS))}")
    return path


def read_unit_ids(path: Path) -> tuple[str, ...]:
    """The ids in a file, sorted, each once: one a line, or JSON lines with a `unit_id` as in a run's outputs. Raises `ConfigError`."""
    found: set[str] = set()
    try:
        with path.open("rb") as source:
            data = source.read(MAX_LIST + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > MAX_LIST:
        raise ConfigError(f"the list has more than {MAX_LIST:,} bytes", where=str(path))
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if line.strip():
            found.add(_id(line.strip(), f"{path}:{number}:1"))
    if not found:
        raise ConfigError("the list names no unit", where=str(path))
    return tuple(sorted(found))


def _id(line: bytes, where: str) -> str:
    try:
        if not line.startswith(b"{"):
            return line.decode()
        value = decode(line, what="the line")
    except (WireError, UnicodeDecodeError) as error:
        raise ConfigError(f"not an id: {error}", where=where) from error
    found = value.get("unit_id") if isinstance(value, dict) else None
    if not isinstance(found, str):
        raise ConfigError("the line has no unit_id", where=where)
    return found


def require_units(pipeline: Pipeline, path: Path) -> None:
    """Raise `ConfigError` when `only` names what is no unit of the pipeline. Goes through the units until all are found."""
    missing = set(pipeline.only)
    for unit in pipeline.units():
        missing.discard(unit.unit_id)
        if not missing:
            return
    some = ", ".join(repr(id) for id in sorted(missing)[:_SHOWN])
    more = f" and {len(missing) - _SHOWN:,} more" if len(missing) > _SHOWN else ""
    raise ConfigError(f"{path}: the pipeline has no unit {some}{more}", hint="ids stand in the unit_id of a run's outputs")
