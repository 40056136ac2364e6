"""Where the pepper comes from: the setting, else a file of the data folder that is made once and never shown (faults H3, H17)."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from headgate.config import Secret
from headgate.errors import ConfigError, StoreError
from headgate.ledger.key_form import Pepper

FILE = "pepper"
SHORTEST = 32
RANDOM_BYTES = 32


def open_pepper(given: Secret | None, folder: Path, random: bytes) -> Pepper:
    """The pepper `given` by the settings, else that of the file ``pepper`` in `folder`, made of `random` when there is none.

    Raises `ConfigError` for one that is too short, or a file that others can read; `StoreError` when the file cannot be had.
    """
    if given is not None:
        return Pepper(_long_enough(given, "HEADGATE_PEPPER"))
    path = folder / FILE
    try:
        if not path.exists():
            _make(path, random)
        if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise ConfigError(f"others than its owner may read {path}, under which keys are kept", hint=f"chmod 600 {path}")
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"{path}, under which keys are kept, cannot be had: {error}", hint=f"ls -l {folder}") from error
    return Pepper(_long_enough(Secret(text), str(path)))


def _long_enough(secret: Secret, where: str) -> Secret:
    if len(secret.reveal()) < SHORTEST:
        raise ConfigError(f"the pepper from {where} must have at least {SHORTEST} characters", hint="openssl rand -hex 32")
    return secret


def _make(path: Path, random: bytes) -> None:
    """Write a new pepper. The file appears whole; of several processes that make it at once, one does."""
    if len(random) < RANDOM_BYTES:
        raise ValueError(f"a pepper needs {RANDOM_BYTES} random bytes, not {len(random)}")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{FILE}-{random[-8:].hex()}")
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, random[:-8].hex().encode() + b"\n")
        os.fsync(file)
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.close(file)
        draft.unlink()
