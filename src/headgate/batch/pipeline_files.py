"""Where a pipeline's bytes come from: a folder, or a snapshot a run has pinned."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Protocol

import msgspec

from headgate.batch.config_reader import did_you_mean
from headgate.batch.item_file import HELD, InputFile, ItemsFile, kept_copy
from headgate.batch.pipeline import FORMAT, Pipeline
from headgate.errors import ConfigError

CONFIG = "config.yaml"
REPLACED = "@items"
"""Where a snapshot has an items file that took the place of the pipeline's own."""


class PipelineFiles(Protocol):
    """Reads files by path relative to the pipeline; `seen` is everything read so far."""

    name: str
    folder: str
    seen: dict[str, bytes]
    replaced: str | None
    """The name of an items file that takes the place of the pipeline's own."""
    input: InputFile | None
    """What is known of a large items file."""
    only: tuple[str, ...]
    """The ids of the units to be run; none stands for all."""
    root: str
    """The folder as an absolute path."""

    def read(self, path: str, limit: int, where: str | None = None) -> bytes:
        """The bytes of one file. Raises `ConfigError` at `where` if it is absent, outside, or over `limit`."""

    def items(self, path: str, where: str | None = None) -> ItemsFile:
        """The items file, held when it is small. Raises `ConfigError` as `read` does, and `RunError` for a copy that was changed."""


def safe_relative(path: str, where: str | None = None) -> str:
    """`path` in its normal form. Raises `ConfigError` if it is absolute or leaves the pipeline's folder."""
    parts = PurePosixPath(path).parts
    if not parts or "\\" in path or "\0" in path or path.startswith("/") or ".." in parts or ":" in parts[0]:
        raise ConfigError(f"path {path!r} must stay inside the pipeline's folder", where=where, hint="copy the file into the folder")
    return str(PurePosixPath(path))


class FolderFiles:
    """The files of a folder on disk; symbolic links may not lead out of it."""

    def __init__(self, folder: Path, items: Path | None = None, only: tuple[str, ...] = ()) -> None:
        """`items` is a file to be read in place of the pipeline's own, wherever it lies."""
        self.name = folder.resolve().name
        self.folder = str(folder)
        self.seen: dict[str, bytes] = {}
        self.replaced = None if items is None else f"{REPLACED}/{items.name}"
        self.input: InputFile | None = None
        self.only = only
        self._root = folder.resolve()
        self.root = str(self._root)
        self._items = items

    def read(self, path: str, limit: int, where: str | None = None) -> bytes:
        """The bytes of one file of the folder."""
        relative = safe_relative(path, where)
        if relative in self.seen:
            return self.seen[relative]
        target = self._inside(relative, path, where)
        try:
            with target.open("rb") as source:
                data = source.read(limit + 1)
        except OSError as error:
            raise ConfigError(f"cannot read {path!r}: {error.strerror}", where=where, hint=self._neighbours(target)) from error
        if len(data) > limit:
            raise ConfigError(f"{path!r} is larger than {limit:,} bytes", where=where)
        self.seen[relative] = data
        return data

    def items(self, path: str, where: str | None = None) -> ItemsFile:
        """The items file; one that is large, or of any size in another place, is read where it lies."""
        if self._items is None:
            name = safe_relative(path, where)
            target, display = self._inside(name, path, where), str(PurePosixPath(self.folder) / path)
        else:
            name, target, display = f"{REPLACED}/{self._items.name}", self._items, str(self._items)
        file = ItemsFile(name, display, path=target)
        try:
            if file.size > HELD:
                return file
            data = target.read_bytes()
        except OSError as error:
            raise ConfigError(f"cannot read {path!r}: {error.strerror}", where=where, hint=self._neighbours(target)) from error
        self.seen[name] = data
        return ItemsFile(name, display, data)

    def _inside(self, relative: str, path: str, where: str | None) -> Path:
        target = (self._root / relative).resolve()
        if not target.is_relative_to(self._root):
            raise ConfigError(f"{path!r} leads out of the pipeline's folder", where=where)
        return target

    def _neighbours(self, target: Path) -> str | None:
        if not target.parent.is_dir():
            return f"there is no folder {str(target.parent)!r}"
        return did_you_mean(target.name, [entry.name for entry in target.parent.iterdir()])


class Snapshot(msgspec.Struct, frozen=True):
    format: int
    name: str
    folder: str
    files: dict[str, bytes]
    input: InputFile | None = None
    replaced: str | None = None
    only: tuple[str, ...] = ()
    root: str = ""


class SnapshotFiles:
    """The files of a snapshot, and those that lie beside it in the folder of its run."""

    def __init__(self, stored: Snapshot, run: Path | None = None) -> None:
        self.name = stored.name
        self.folder = stored.folder
        self.seen: dict[str, bytes] = {}
        self.replaced = stored.replaced
        self.input = stored.input
        self.only = stored.only
        self.root = stored.root
        self._files = stored.files
        self._run = run

    def read(self, path: str, limit: int, where: str | None = None) -> bytes:
        """The bytes of one pinned file."""
        relative = safe_relative(path, where)
        data = self._files.get(relative)
        if data is None:
            raise ConfigError(f"the snapshot holds no {path!r}", where=where)
        if len(data) > limit:
            raise ConfigError(f"{path!r} is larger than {limit:,} bytes", where=where)
        self.seen[relative] = data
        return data

    def items(self, path: str, where: str | None = None) -> ItemsFile:
        """The pinned items, or the run's own copy of them."""
        if self.input is not None and self._run is not None:
            return kept_copy(self.input, self._run)
        name = safe_relative(path, where)
        return ItemsFile(name, str(PurePosixPath(self.folder) / name), self.read(name, HELD, where))


_encoder = msgspec.msgpack.Encoder(order="sorted")
_decoder = msgspec.msgpack.Decoder(Snapshot)


def snapshot(pipeline: Pipeline) -> bytes:
    """The pipeline's own copy of every file it was read from, for a run to keep; the same files give the same bytes.

    A large items file is not in it, only its digest (`item_file.keep_copy`).
    """
    return _encoder.encode(
        Snapshot(FORMAT, pipeline.name, pipeline.folder, pipeline.files, pipeline.input, pipeline.replaced, pipeline.only, pipeline.root)
    )


def open_snapshot(data: bytes, run: Path | None = None) -> SnapshotFiles:
    """The files of a snapshot, with a large items file in the folder `run`. Raises `ConfigError` for anything else."""
    try:
        stored = _decoder.decode(data)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"the stored pipeline cannot be read: {error}") from error
    if stored.format != FORMAT:
        raise ConfigError(f"the stored pipeline has format {stored.format}; this version reads {FORMAT}")
    return SnapshotFiles(stored, run)


def find_folder(name_or_path: str, roots: list[Path]) -> Path:
    """The folder a user means: a path, or a name under one of `roots` (first wins). Raises `ConfigError` with a hint."""
    direct = Path(name_or_path)
    if direct.name == CONFIG and direct.is_file():
        return direct.parent
    for candidate in (direct, *(root / name_or_path for root in roots)):
        if (candidate / CONFIG).is_file():
            return candidate
    if direct.is_dir():
        raise ConfigError(f"{name_or_path!r} holds no {CONFIG}")
    known = known_pipelines(roots)
    folded = {name.casefold(): name for name in known}
    if name_or_path.casefold() in folded:
        return find_folder(folded[name_or_path.casefold()], roots)
    raise ConfigError(
        f"there is no pipeline {name_or_path!r}", hint=did_you_mean(name_or_path, known) or "give the path of a folder with a config.yaml"
    )


def known_pipelines(roots: list[Path]) -> list[str]:
    """Names of the pipelines under `roots`, sorted."""
    return sorted({entry.parent.name for root in roots if root.is_dir() for entry in root.glob(f"*/{CONFIG}")})
