"""The process environment with the ``.env`` file of the working folder behind it. A real variable always wins (OCT-06)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from headgate.config.dotenv import LARGEST, Dotenv, parse_dotenv
from headgate.errors import ConfigError


class Found(msgspec.Struct, frozen=True):
    """A variable's value and where it came from ("environment OPENAI_API_KEY", ".env:3 OPENAI_API_KEY")."""

    value: str
    origin: str

    def __repr__(self) -> str:
        return f"Found({self.origin})"


class Environment(msgspec.Struct, frozen=True):
    """Variables by name; an empty one counts as absent."""

    real: Mapping[str, str]
    dotenv: Dotenv = Dotenv()

    def get(self, name: str) -> Found | None:
        """The value of `name`, or None."""
        value = self.real.get(name)
        if value:
            return Found(value, f"environment {name}")
        entry = self.dotenv.values.get(name)
        if entry is not None and entry.value:
            return Found(entry.value, f".env:{entry.line} {name}")
        return None

    def __repr__(self) -> str:
        return f"Environment({len(self.real)} variables, {self.dotenv!r})"


def read_environment(real: Mapping[str, str], folder: Path) -> Environment:
    """`real` with ``.env`` in `folder`, when there is one, behind it. Raises `ConfigError` when that cannot be read."""
    path = folder / ".env"
    try:
        if not path.is_file():
            return Environment(dict(real))
        if path.stat().st_size > LARGEST:
            raise ConfigError(f"larger than {LARGEST:,} bytes", where=str(path), hint=f"ls -l {path}")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", where=str(path), hint=f"ls -l {path}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8 text (byte {error.start})", where=str(path), hint=f"file {path}") from error
    return Environment(dict(real), parse_dotenv(text))
