"""Who may do what, and that nobody hands on more than there is to hand on (faults E4, H6, H18)."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from headgate.errors import UsageError
from headgate.ledger.keys import SCOPES, KeyBudget, KeyChange, KeyLimits, LimitsChange, VirtualKey, blank, changed, principal_of
from headgate.ledger.principal import CALLER, EVERYBODY, Principal, Scope
from headgate.ledger.rights import ADMIN, LOCAL, NotAllowed, check_grant, covers, excess, lineage_of, manages, may_call, permits

LETTERS = "ab/"
patterns = st.text(LETTERS + "*", min_size=1, max_size=8)
names = st.text(LETTERS, max_size=8)
words = st.sampled_from([None, "x", "y"])
expiries = st.sampled_from([None, 100.0, 200.0])
scopes = st.frozensets(st.sampled_from(SCOPES), min_size=1)
keys = st.builds(
    VirtualKey,
    id=st.sampled_from(["k1", "k2", "k3"]),
    owner=words,
    team=words,
    user=words,
    tags=st.lists(st.sampled_from(["t", "u"]), unique=True).map(tuple),
    scopes=scopes,
    models=st.lists(patterns, max_size=3).map(tuple),
    expires=expiries,
)


def matches(pattern: str, name: str) -> bool:
    """What a pattern means."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name) is not None


@given(patterns, patterns, st.data())
def test_what_is_covered_matches_nothing_else(wide: str, narrow: str, data: st.DataObject) -> None:
    name = "".join(data.draw(names) if sign == "*" else sign for sign in narrow)
    assert matches(narrow, name)
    assert not covers(wide, narrow) or matches(wide, name)


@given(patterns, patterns)
def test_covering_misses_nothing(wide: str, narrow: str) -> None:
    strange = narrow.replace("*", "\N{SNOWMAN}")  # a star of `narrow` may be anything, so also what no literal is
    assert covers(wide, narrow) == matches(wide, strange)


@given(patterns, names)
def test_a_name_is_the_narrowest_pattern(pattern: str, name: str) -> None:
    assume(name)
    assert covers(pattern, name) == matches(pattern, name) == may_call(Principal(models=(pattern,)), name)


FIELDS = ("owner", "team", "user", "tags", "scopes", "models", "expires")
minting = st.builds(lambda key, held: replace(key, scopes=held - {"admin"} | {"keys:write"}), keys, scopes)


@given(minting, keys, st.sets(st.sampled_from(FIELDS)), st.sampled_from(SCOPES), names)
def test_a_key_can_do_nothing_that_the_key_which_made_it_cannot(
    parent: VirtualKey, other: VirtualKey, own: set[str], scope: Scope, name: str
) -> None:
    minter = principal_of(parent)
    child = replace(blank(minter, administers=False), **{field: getattr(other, field) for field in own})
    try:
        check_grant(child, minter)
    except NotAllowed:
        return
    made = principal_of(replace(child, id="new", lineage=lineage_of(minter)))
    assert not permits(made, scope) or permits(minter, scope)
    assert not may_call(made, name) or may_call(minter, name)
    assert minter.expires is None or (made.expires is not None and made.expires <= minter.expires)
    assert set(minter.subjects) <= set(made.subjects), "it escapes a budget or a limit of the key that made it"
    assert made.team == minter.team and made.owner == minter.owner, "it sees what is another tenant's"


@given(keys, st.frozensets(st.sampled_from([scope for scope in SCOPES if scope not in ("admin", "keys:write")])))
def test_without_the_scope_nobody_makes_keys(child: VirtualKey, held: frozenset[Scope]) -> None:
    with pytest.raises(NotAllowed, match="keys:write"):
        check_grant(child, Principal(key_id="k", scopes=held))


@given(keys)
def test_what_a_new_key_is_by_default_can_be_given(parent: VirtualKey) -> None:
    minter = principal_of(parent)
    assert excess(blank(minter, administers=False), minter) == ()


@given(keys)
def test_an_administrator_gives_anything_and_spends_nothing(child: VirtualKey) -> None:
    for administrator in (ADMIN, LOCAL):
        check_grant(child, administrator)
        assert lineage_of(administrator) == ()
        assert {scope for scope in SCOPES if not permits(administrator, scope)} == {"completions:read"}


def test_the_key_of_the_settings_makes_no_keys() -> None:
    assert [scope for scope in SCOPES if permits(CALLER, scope)] == ["completions:read", "models:read", "usage:read"]


def test_who_manages_whose_keys() -> None:
    mother = principal_of(VirtualKey(id="m", scopes=frozenset({"keys:write"}), team="t"))
    daughter, sister = VirtualKey(id="d", lineage=("c", "m"), team="t"), VirtualKey(id="s", team="t")
    assert manages(mother, daughter)
    assert not manages(mother, sister)
    assert not manages(mother, VirtualKey(id="m"))
    assert not manages(principal_of(VirtualKey(id="m")), daughter), "without keys:write"
    assert manages(ADMIN, sister)
    assert not manages(Principal(scopes=frozenset({"keys:write"})), VirtualKey(id="x", lineage=("",)))


def test_identity_and_subjects_come_from_the_key() -> None:
    key = VirtualKey(id="k", name="n", team="a", user="b", tags=("c", "d"), owner="e", lineage=("p", "g"), max_output=5, models=("m/*",))
    found = principal_of(key)
    assert found.subjects == (EVERYBODY, "key:k", "key:p", "key:g", "team:a", "user:b", "tag:c", "tag:d")
    assert lineage_of(replace(found, scopes=frozenset({"keys:write"}))) == ("k", "p", "g")
    assert (found.tenant, found.max_output, found.models) == ("team:a", 5, ("m/*",))


def test_models_with_several_patterns_and_none() -> None:
    assert may_call(Principal(), "anything")
    some = Principal(models=("openai/*", "anthropic/claude-x"))
    assert [may_call(some, name) for name in ("openai/gpt", "anthropic/claude-x", "anthropic/claude-xy", "xopenai/gpt")] == [
        True,
        True,
        False,
        False,
    ]
    assert not may_call(Principal(models=("a.c",)), "abc")


WRONG: dict[str, KeyChange] = {
    "name": KeyChange(name="x" * 101),
    "name ": KeyChange(name="a\nb"),
    "owner": KeyChange(owner="a b"),
    "team": KeyChange(team=""),
    "user": KeyChange(user="x" * 65),
    "tags": KeyChange(tags=("fine", "not:fine")),
    "tags ": KeyChange(tags=tuple(f"t{n}" for n in range(17))),
    "scopes": KeyChange(scopes=frozenset()),
    "scopes ": KeyChange(scopes=frozenset({"admin", "completions:read"})),
    "models": KeyChange(models=("a b",)),
    "models ": KeyChange(models=("",)),
    "max_output": KeyChange(max_output=0),
    "limits": KeyChange(limits=LimitsChange(rpm=-1)),
    "budget": KeyChange(budget=KeyBudget(limit_nanos=0)),
    "budget ": KeyChange(budget=KeyBudget(limit_nanos=1, window="year")),
    "budget  ": KeyChange(budget=KeyBudget(limit_nanos=1, window="rolling:0")),
}


@pytest.mark.parametrize("field", sorted(WRONG))
def test_values_that_cannot_be(field: str) -> None:
    with pytest.raises(UsageError, match=f"^{field.strip()} must be"):
        changed(VirtualKey(), WRONG[field])


def test_a_change_leaves_what_it_does_not_name() -> None:
    key = VirtualKey(id="k", team="a", limits=KeyLimits(rpm=5, tpm=6), budget=KeyBudget(limit_nanos=7, window="rolling:3600"))
    assert changed(key, KeyChange()) == key
    assert changed(key, KeyChange(limits=LimitsChange(rpm=None, concurrency=3))).limits == KeyLimits(tpm=6, concurrency=3)
    assert changed(key, KeyChange(team=None, budget=None)) == replace(key, team=None, budget=None)


@pytest.mark.parametrize(
    ("key", "status"),
    [
        (VirtualKey(), "active"),
        (VirtualKey(expires=10.0), "expired"),
        (VirtualKey(expires=10.1), "active"),
        (VirtualKey(disabled=True), "disabled"),
        (VirtualKey(disabled=True, expires=1.0), "expired"),
        (VirtualKey(revoked=1.0, expires=1.0), "revoked"),
    ],
)
def test_status(key: VirtualKey, status: str) -> None:
    assert key.status(10.0) == status
