"""What memory a process may have (faults C18)."""

from __future__ import annotations

from pathlib import Path

CGROUPS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_NO_LIMIT = 1 << 60


def memory_limit(files: tuple[Path, ...] = CGROUPS) -> int | None:
    """What the control group allows, in bytes; None when nothing is limited."""
    for file in files:
        try:
            found = int(file.read_text(encoding="ascii"))
        except (OSError, ValueError):
            continue
        if found < _NO_LIMIT:
            return found
    return None
