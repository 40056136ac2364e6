"""Named parameters as PostgreSQL's driver wants them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.store.postgres.sql import translate
from headgate.store.statements import FOLDER, Statements

CASES = [
    ("SELECT 1", "SELECT 1", ()),
    ("SELECT 7 % 2", "SELECT 7 % 2", ()),
    ("SELECT :a", "SELECT %s", ("a",)),
    ("SELECT :a, :b_2, :a", "SELECT %s, %s, %s", ("a", "b_2", "a")),
    ("VALUES (:a,:b)", "VALUES (%s,%s)", ("a", "b")),
    ("x=:a%2", "x=%s%%2", ("a",)),
    ("SELECT :a::bigint, b::text", "SELECT %s::bigint, b::text", ("a",)),
    ("SELECT ':no', :a", "SELECT ':no', %s", ("a",)),
    ("SELECT 'it''s :no', :a", "SELECT 'it''s :no', %s", ("a",)),
    (r"SELECT E'\':no', :a", r"SELECT E'\':no', %s", ("a",)),
    ('SELECT ":no" || :a', 'SELECT ":no" || %s', ("a",)),
    ("SELECT :a -- :no 5 %\n, :b", "SELECT %s -- :no 5 %%\n, %s", ("a", "b")),
    ("SELECT /* :no */ :a", "SELECT /* :no */ %s", ("a",)),
    ("SELECT $$ :no $$, $t$ :no $$ $t$, :a", "SELECT $$ :no $$, $t$ :no $$ $t$, %s", ("a",)),
    ("SELECT x LIKE '5%' AND :a", "SELECT x LIKE '5%%' AND %s", ("a",)),
    ("SELECT list[1:n], :a", "SELECT list[1:n], %s", ("a",)),
]


@pytest.mark.parametrize(("sql", "text", "names"), CASES)
def test_only_parameters_are_translated(sql: str, text: str, names: tuple[str, ...]) -> None:
    statement = translate(sql)
    assert (statement.text.decode(), statement.names) == (text, names)


def test_values_stand_in_their_places() -> None:
    statement = translate("SELECT :a, :b, :a")
    assert statement.values({"a": 1, "b": None, "c": 3}) == (1, None, 1)
    assert translate("SELECT 1").values({"a": 1}) is None
    with pytest.raises(KeyError):
        statement.values({"a": 1})


@given(st.lists(st.sampled_from(["':x'", '":x"', "-- :x\n", "/* :x */", "::text", "%", " ", ":p", "1", "''", "$$:x$$"])))
def test_what_is_quoted_is_never_a_parameter(pieces: list[str]) -> None:
    sql = " ".join(pieces)
    statement = translate(sql)
    assert statement.names == ("p",) * pieces.count(":p")
    shown = statement.text.decode()
    assert (shown % ((":p",) * len(statement.names)) if statement.names else shown) == sql


def test_every_statement_of_ours_can_be_translated() -> None:
    for folder in FOLDER.glob("*/postgresql"):
        for sql in Statements.load(folder.parent.name).values():
            assert b":" not in translate(sql).text.replace(b"::", b"")
