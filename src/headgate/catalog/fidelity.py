"""The shipped matrix: what becomes of each feature of a request between each surface and each provider, as the conformance suite found."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import msgspec

from headgate.errors import StoreError

COMPILED = Path(__file__).with_name("fidelity.json")


class Fate(msgspec.Struct, frozen=True, omit_defaults=True):
    """What becomes of one feature between a surface and a provider; `why` is the note or refusal."""

    surface: str
    provider: str
    feature: str
    fate: str
    why: str = ""


class Matrix(msgspec.Struct, frozen=True):
    """Every fate, and the day (``YYYY-MM-DD``) on which they were found."""

    generated: str
    fates: tuple[Fate, ...]

    def of(self, *, surface: str | None = None, provider: str | None = None) -> tuple[Fate, ...]:
        """The fates of one surface, one provider, or both."""
        return tuple(
            fate for fate in self.fates if (surface is None or fate.surface == surface) and (provider is None or fate.provider == provider)
        )


@lru_cache(maxsize=1)
def load_matrix() -> Matrix:
    """The matrix this version ships. Raises `StoreError` when it is damaged."""
    try:
        return msgspec.json.decode(COMPILED.read_bytes(), type=Matrix)
    except msgspec.MsgspecError as error:
        raise StoreError(f"the capability matrix is damaged: {error}", hint="pip install --force-reinstall headgate") from error
