"""Keys as text: what is one, what is kept of it, and how it is compared (faults H1 to H5)."""

from __future__ import annotations

import hmac
import pickle

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headgate.config import Secret
from headgate.ledger.key_form import ID_BYTES, SECRET_BYTES, Pepper, Seals, fits, importable, new_id, new_key

PEPPER = Pepper(Secret("p" * 32))
ids = st.binary(min_size=ID_BYTES, max_size=ID_BYTES).map(new_id)
secrets = st.binary(min_size=SECRET_BYTES, max_size=SECRET_BYTES)
ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"


@given(ids, secrets)
def test_a_key_says_its_id(id: str, random: bytes) -> None:
    key = new_key(id, random).reveal()
    assert len(key) == 52
    assert PEPPER.public_id(key.encode()) == id


@given(secrets, st.integers(3, 51), st.sampled_from(ALPHABET + "-A_"))
def test_a_typing_mistake_is_told_without_a_look_at_the_store(random: bytes, at: int, sign: str) -> None:
    key = new_key(new_id(bytes(ID_BYTES)), random).reveal()
    typo = key[:at] + sign + key[at + 1 :]
    assert typo == key or PEPPER.public_id(typo.encode()) is None


@given(secrets, st.integers(16, 46))
def test_two_letters_changed_about_are_told(random: bytes, at: int) -> None:
    key = new_key(new_id(bytes(ID_BYTES)), random).reveal()
    swapped = key[:at] + key[at + 1] + key[at] + key[at + 2 :]
    assert swapped == key or PEPPER.public_id(swapped.encode()) is None


@given(st.binary(max_size=200))
@example(b"")
@example(b"' OR 1=1 --")
@example(b"hg-aaaaaaaaaaaa-" + b"a" * 36 + b"\n")
@example(b"gs_live_" + b"a" * 31)
@example(b"gs_live_" + b"a" * 33)
@example(b"gs_prod_" + b"a" * 32)
def test_nothing_else_is_a_key(raw: bytes) -> None:
    assert PEPPER.public_id(raw) is None


def test_keys_of_another_system_have_an_id_that_the_text_gives() -> None:
    raw = b"gs_test_" + b"aB3-_" * 6 + b"xy"
    assert importable(raw)
    id = PEPPER.public_id(raw)
    assert id is not None and len(id) == 12 and id == PEPPER.public_id(raw)
    assert id != Pepper(Secret("q" * 32)).public_id(raw)
    assert id.encode() not in PEPPER.seal(raw)


def test_what_is_kept_depends_on_key_and_pepper() -> None:
    other = Pepper(Secret("q" * 32))
    assert len({PEPPER.seal(b"a"), PEPPER.seal(b"b"), other.seal(b"a"), PEPPER.audit, other.audit}) == 5
    assert PEPPER.mark == Pepper(Secret("p" * 32)).mark != other.mark


def test_a_pepper_does_not_show_itself() -> None:
    assert repr(PEPPER) == "Pepper(…)"
    assert "\\x" not in repr(Seals(b"\x00" * 32, b"\x01" * 32))
    assert not any("p" * 32 in str(getattr(PEPPER, name)) for name in ("audit", "mark"))
    with pytest.raises(TypeError):
        pickle.dumps(Secret("x"))


def test_too_little_randomness_makes_no_key() -> None:
    with pytest.raises(ValueError, match="8 random bytes"):
        new_id(b"few")
    with pytest.raises(ValueError, match="20 random bytes"):
        new_key("a" * 12, b"few")


SEAL, OTHER, OLD = (PEPPER.seal(text) for text in (b"present", b"other", b"old"))
CASES: dict[str, tuple[bytes, Seals | None, tuple[bool, bool]]] = {
    "right": (SEAL, Seals(SEAL), (True, False)),
    "wrong": (OTHER, Seals(SEAL), (False, False)),
    "wrong in the last byte": (SEAL[:-1] + bytes([SEAL[-1] ^ 1]), Seals(SEAL), (False, False)),
    "wrong in the first byte": (bytes([SEAL[0] ^ 1]) + SEAL[1:], Seals(SEAL), (False, False)),
    "no such id": (SEAL, None, (False, False)),
    "nothing against nothing": (bytes(32), None, (False, False)),
    "nothing against no secret before": (bytes(32), Seals(SEAL, None, 2.0), (False, False)),
    "the one before, in time": (OLD, Seals(SEAL, OLD, 2.0), (False, True)),
    "the one before, at its end": (OLD, Seals(SEAL, OLD, 1.0), (False, False)),
    "the one before, without an end": (OLD, Seals(SEAL, OLD), (False, False)),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_every_comparison_takes_the_same_steps(name: str) -> None:
    seal, kept, expected = CASES[name]
    compared: list[int] = []

    def compare(a: bytes, b: bytes) -> bool:
        compared.append(len(a) + len(b))
        return hmac.compare_digest(a, b)

    assert fits(seal, kept, 1.0, compare) == expected
    assert compared == [64, 64]
