"""Images that units name: as data, by address, and as files that may not lie elsewhere."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from headgate.batch import images
from headgate.batch.images import ImageFault, images_of
from headgate.domain.content import Media

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20
JPEG, GIF, WEBP = b"\xff\xd8\xff\xe0" + b"\0" * 9, b"GIF89a" + b"\0" * 9, b"RIFF\0\0\0\0WEBP" + b"\0" * 9


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.fixture
def roots(tmp_path: Path) -> tuple[Path, Path]:
    """The inputs of a run, and a pipeline's folder."""
    for name in ("run", "own"):
        (tmp_path / name / "deep").mkdir(parents=True)
    (tmp_path / "own" / "a.png").write_bytes(PNG)
    (tmp_path / "own" / "deep" / "b.txt").write_bytes(JPEG)
    (tmp_path / "secret.png").write_bytes(PNG)
    return tmp_path / "run", tmp_path / "own"


@pytest.mark.parametrize(("data", "mime"), [(PNG, "image/png"), (JPEG, "image/jpeg"), (GIF, "image/gif"), (WEBP, "image/webp")])
def test_the_bytes_tell_the_kind(roots: tuple[Path, Path], data: bytes, mime: str) -> None:
    (roots[1] / "x").write_bytes(data)
    wanted = Media("image", mime=mime, data=text(data))
    assert images_of("x", roots) == images_of(f"data:image/other;base64,{text(data)}", roots) == [wanted]


def test_lists_nothing_and_addresses(roots: tuple[Path, Path]) -> None:
    found = images_of(["a.png", "", None, ["deep/b.txt"], "https://example.org/x.png?y=1"], roots)
    assert found == [
        Media("image", mime="image/png", data=text(PNG)),
        Media("image", mime="image/jpeg", data=text(JPEG)),
        Media("image", url="https://example.org/x.png?y=1"),
    ]
    assert images_of(None, roots) == images_of("", roots) == images_of([], roots) == []


def test_the_inputs_of_the_run_go_first(roots: tuple[Path, Path]) -> None:
    (roots[0] / "a.png").write_bytes(GIF)
    assert images_of("a.png", roots)[0].mime == "image/gif"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("../secret.png", "must stay inside the pipeline's folder"),
        ("deep/../../secret.png", "must stay inside the pipeline's folder"),
        ("/etc/passwd", "must stay inside the pipeline's folder"),
        ("a.png\0", "must stay inside the pipeline's folder"),
        ("link.png", "leads over a symbolic link or no folder"),
        ("linked/secret.png", "leads over a symbolic link or no folder"),
        ("a.png/x", "leads over a symbolic link or no folder"),
        ("gone.png", "there is no file 'gone.png'"),
        ("deep", "'deep' is no file"),
        ("pipe", "'pipe' is no file"),
        ("note.txt", "'note.txt' is no PNG, JPEG, GIF or WebP"),
        ("http://example.org/x.png", "is no https address"),
        ("file:///etc/passwd", "is no https address"),
        ("data:image/png,abc", "must be base64"),
        ("data:image/png;base64,@@@", "is not base64"),
        ("data:image/png;base64,aGVsbG8=", "is no PNG"),
        (5, "an image is named by text, not a number"),
        ([{"a": 1}], "an image is named by text, not an object"),
        ("big.png", "has 2,000 bytes; the limit is 1,000"),
        (f"data:image/png;base64,{text(PNG * 99)}", "larger than 1,000 bytes"),
    ],
    ids=str,
)
def test_what_is_refused(roots: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, value: object, message: str) -> None:
    monkeypatch.setattr(images, "MAX_IMAGE", 1000)
    own = roots[1]
    (own / "link.png").symlink_to(own.parent / "secret.png")
    (own / "linked").symlink_to(own.parent)
    (own / "note.txt").write_text("hello")
    (own / "big.png").write_bytes(PNG.ljust(2000))
    os.mkfifo(own / "pipe")
    with pytest.raises(ImageFault, match=message):
        images_of(value, roots)
