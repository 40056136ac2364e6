"""Folders on network shares, by what the kernel says is mounted where."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.errors import StoreError
from headgate.store.mounts import NETWORK, check_local, network_of

ROOT = "27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw"


def mounted(place: str, kind: str) -> str:
    return f"36 27 0:31 / {place} rw,noatime shared:7 master:2 - {kind} server:/export rw,vers=4.2"


@pytest.mark.parametrize("kind", sorted(NETWORK))
def test_a_share_is_found(kind: str) -> None:
    assert network_of(PurePosixPath("/srv/data/headgate"), f"{ROOT}\n{mounted('/srv/data', kind)}\n") == kind


def test_the_deepest_mount_decides() -> None:
    text = "\n".join([mounted("/srv/data/local", "xfs"), ROOT, mounted("/srv", "nfs4")])
    assert network_of(PurePosixPath("/srv/data/local/x"), text) is None
    assert network_of(PurePosixPath("/srv/data/other"), text) == "nfs4"
    assert network_of(PurePosixPath("/srvice"), text) is None


def test_of_two_at_one_place_the_later_one_is_seen() -> None:
    assert network_of(PurePosixPath("/mnt"), f"{mounted('/mnt', 'nfs')}\n{mounted('/mnt', 'tmpfs')}") is None


def test_a_place_with_a_blank_in_its_name() -> None:
    assert network_of(PurePosixPath("/my share/x"), f"{ROOT}\n{mounted(chr(92).join(['/my', '040share']), 'cifs')}") == "cifs"


@given(st.text(max_size=200))
def test_any_text_is_read(text: str) -> None:
    found = network_of(PurePosixPath("/data"), text)
    assert found is None or found in NETWORK


def test_a_share_is_refused_with_what_to_do(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"{ROOT}\n{mounted(str(tmp_path.resolve()), 'nfs4')}\n")
    with pytest.raises(StoreError, match="network share") as caught:
        check_local(tmp_path / "data", mounts)
    assert "HEADGATE_DATA_DIR" in (caught.value.hint or "")
    mounts.write_text(f"{ROOT}\n")
    check_local(tmp_path / "data", mounts)
    check_local(tmp_path / "data", tmp_path / "nowhere")
