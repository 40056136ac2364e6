"""On what a folder lies: SQLite's write-ahead log and our journal are shared memory, which two machines do not have (faults F8)."""

from __future__ import annotations

import re
from pathlib import Path, PurePath

from headgate.errors import StoreError

MOUNTS = Path("/proc/self/mountinfo")
"""What is mounted where (proc(5)); on other systems than Linux nothing is known."""
NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ncpfs", "davfs", "glusterfs", "lustre", "ceph", "beegfs"}
    | {f"fuse.{name}" for name in ("sshfs", "s3fs", "gcsfuse", "rclone", "glusterfs", "davfs2", "goofys", "blobfuse", "ceph-fuse")}
)
_ESCAPED = re.compile(r"\\([0-7]{3})")


def network_of(folder: PurePath, mountinfo: str) -> str | None:
    """The file system of an absolute `folder` when it is a network's; `mountinfo` is the text of `MOUNTS`."""
    found, depth = "", -1
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, kinds = before.split(" "), after.split(" ")
        if len(fields) < 5:
            continue
        place = PurePath(_ESCAPED.sub(lambda match: chr(int(match[1], 8)), fields[4]))
        if len(place.parts) >= depth and folder.is_relative_to(place):
            found, depth = kinds[0], len(place.parts)
    return found if found in NETWORK else None


def check_local(folder: Path, mounts: Path = MOUNTS) -> None:
    """Raises `StoreError` for a folder on a network share."""
    try:
        text = mounts.read_text("utf-8", "replace")
    except OSError:
        return  # not Linux, or a sandbox that does not say
    kind = network_of(folder.resolve(), text)
    if kind is not None:
        raise StoreError(
            f"{folder} is on a network share ({kind}), where a database file cannot be shared safely",
            hint="use a folder on a local disk (HEADGATE_DATA_DIR), or a server (HEADGATE_DATABASE_URL)",
        )
