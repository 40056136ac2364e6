"""The ledger against what a provider says it billed."""

from __future__ import annotations

from fractions import Fraction

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from headgate.domain.cost import NANO
from headgate.errors import UsageError
from headgate.ledger.invoice import InvoiceFormat, InvoiceLine, custom_format, read_invoice
from headgate.ledger.reconcile import Booked, Figures, reconcile

EXPORTS: dict[str, tuple[str, tuple[InvoiceLine, ...]]] = {
    "openai-usage": (
        "start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,user_id,api_key_id,model,batch,input_tokens,"
        "output_tokens,input_cached_tokens\n"
        "1796040000,1796126400,x,x,p,2,u,k,gpt-5-2025-08-07,false,1000,50,200\n"
        "1796043600,1796126400,x,x,p,1,u,k,gpt-5-2025-08-07,true,10,5,0\n"
        "1796126400,1796212800,x,x,,,,,,,,,\n",
        (InvoiceLine(day="2026-11-30", model="gpt-5-2025-08-07", input_tokens=1010, output_tokens=55, requests=3),),
    ),
    "openai-costs": (
        "start_time,end_time,amount_value,amount_currency,line_item,project_id\n"
        '1796040000,1796126400,0.0012,usd,"gpt-5, input",p\n'
        '1796040000,1796126400,0.25,USD,"gpt-5, output",p\n'
        "1796126400,1796212800,,,,\n",
        (InvoiceLine(day="2026-11-30", model="gpt-5", nanos=251_200_000, slack=50_000 + 5_000_000),),
    ),
    "anthropic-tokens": (
        "\ufeffusage_date_utc,model_version,api_key,workspace,usage_type,context_window,usage_input_tokens_no_cache,"
        "usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,usage_output_tokens,"
        "web_search_count\n"
        "2026-11-30,claude-sonnet-5,k,Default,standard,≤ 200k,1,20,300,4000,7,0\n",
        (InvoiceLine(day="2026-11-30", model="claude-sonnet-5", input_tokens=4321, output_tokens=7),),
    ),
    "anthropic-cost": (
        "usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,cost_type\n"
        "2026-11-30,Claude Sonnet 5,Default,k,message,≤ 200k,input_no_cache,0.05,token\n"
        "2026-11-29,Claude Sonnet 5,Default,k,message,≤ 200k,output,1.00,token\n",
        (
            InvoiceLine(day="2026-11-29", model="Claude Sonnet 5", nanos=NANO, slack=5_000_000),
            InvoiceLine(day="2026-11-30", model="Claude Sonnet 5", nanos=50_000_000, slack=5_000_000),
        ),
    ),
}


@pytest.mark.parametrize("name", EXPORTS)
def test_exports_are_recognised_by_their_columns(name: str) -> None:
    text, lines = EXPORTS[name]
    chosen, found = read_invoice(text.splitlines(keepends=True))
    assert (chosen.name, found) == (name, lines)


def test_any_other_file_by_naming_its_columns() -> None:
    chosen = custom_format(["day=Date", "model=Model", "input=Prompt+Cached", "output=Completion", "cost=Amount"], "groq")
    text = "Date\tModel\tPrompt\tCached\tCompletion\tAmount\n2026-11-30T23:30:00-02:00\tllama\t1,000\t5\t7\t$1,234.50\n"
    assert read_invoice(text.splitlines(keepends=True), chosen) == (
        chosen,
        (InvoiceLine(day="2026-12-01", model="llama", input_tokens=1005, output_tokens=7, nanos=1234_500_000_000, slack=5_000_000),),
    )


BAD_FILES = {
    "unknown export": ("a,b\n1,2\n", None, "none of the exports that are known"),
    "nothing": ("", None, "none of the exports that are known"),
    "no such column": ("a,b\n1,2\n", InvoiceFormat(name="custom", day="a", cost="c"), "has no column c"),
    "a day that is none": ("a,c\nx,2\n", InvoiceFormat(name="custom", day="a", cost="c"), "line 2 of the file"),
    "an amount that is none": ("a,c\n2026-11-30,1\n2026-11-30,x\n", InvoiceFormat(name="custom", day="a", cost="c"), "line 3 of the file"),
    "half a token": ("a,i\n2026-11-30,1.5\n", InvoiceFormat(name="custom", day="a", input=("i",)), "no whole number"),
    "another currency": (
        "start_time,amount_value,amount_currency,line_item\n1796040000,1,eur,x\n",
        None,
        "the amount is in eur",
    ),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_files_that_cannot_be_read(name: str) -> None:
    text, custom, message = BAD_FILES[name]
    with pytest.raises(UsageError, match=message):
        read_invoice(text.splitlines(keepends=True), custom)


@pytest.mark.parametrize("words", [["day"], ["day="], ["when=Date"], ["day=Date"], ["cost=Amount"]])
def test_columns_that_map_nothing(words: list[str]) -> None:
    with pytest.raises(UsageError):
        custom_format(words, "openai")


def same(name: str) -> str:
    return name


def booked(line: InvoiceLine) -> Booked:
    figures = Figures(input_tokens=line.input_tokens, output_tokens=line.output_tokens, nanos=line.nanos, requests=line.requests)
    return Booked(day=line.day, model=line.model, figures=figures)


counts = st.none() | st.integers(1, 10**12)
invoices = st.dictionaries(
    st.tuples(st.sampled_from(["2026-11-29", "2026-11-30", "2026-12-01"]), st.sampled_from(["a", "b", "c"])),
    st.tuples(counts, counts, st.integers(1, 10**15), counts),
    min_size=1,
).map(
    lambda found: tuple(
        InvoiceLine(day=day, model=model, input_tokens=i, output_tokens=o, nanos=n, requests=r)
        for (day, model), (i, o, n, r) in sorted(found.items())
    )
)


@given(invoices)
def test_what_was_booked_as_billed_agrees(lines: tuple[InvoiceLine, ...]) -> None:
    assert reconcile(lines, map(booked, lines), same).agrees


@given(invoices, st.data())
def test_an_injected_difference_is_found_where_it_is(lines: tuple[InvoiceLine, ...], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(lines) - 1))
    line = lines[place]
    measure = data.draw(st.sampled_from([name for name in ("input_tokens", "output_tokens", "nanos", "requests") if getattr(line, name)]))
    true = getattr(line, measure)
    least = true * 5 // 1000 + 1
    off = data.draw(st.integers(least, least * 10)) * data.draw(st.sampled_from([1, -1]))
    entries = [booked(each) for each in lines]
    changed = msgspec.structs.replace(entries[place].figures, **{measure: true + off})
    entries[place] = msgspec.structs.replace(entries[place], figures=changed)
    found = reconcile(lines, entries, same)
    assert not found.agrees
    assert [(row.day, row.model, row.measure) for row in found.rows if row.verdict == "differs"] == [(line.day, line.model, measure)]


@given(invoices, st.integers(0, 8), st.booleans())
def test_a_line_that_only_one_side_has(lines: tuple[InvoiceLine, ...], place: int, lacking: bool) -> None:
    assume(len(lines) > 1)
    place %= len(lines)
    rest = lines[:place] + lines[place + 1 :]
    found = reconcile(rest, map(booked, lines), same) if lacking else reconcile(lines, map(booked, rest), same)
    row = next(row for row in found.rows if (row.day, row.model) == (lines[place].day, lines[place].model))
    assert row.verdict == ("only_ledger" if lacking else "only_invoice")


def one(nanos: int | None, slack: int = 0, unpriced: int = 0, ledger: int = 1000) -> str:
    line = InvoiceLine(day="2026-11-30", model="a", nanos=nanos, slack=slack, requests=1)
    entry = Booked(day="2026-11-30", model="A", figures=Figures(nanos=ledger, requests=1, unpriced=unpriced))
    return reconcile([line], [entry], str.lower).rows[0].verdict


def test_the_bound_is_half_a_percent() -> None:
    assert one(100_000, ledger=100_500) == "agrees"
    assert one(100_000, ledger=100_501) == "differs"
    assert one(100_000, ledger=99_499) == "differs"
    assert one(0, ledger=1) == "differs"


def test_the_rounding_of_the_invoice_is_no_drift() -> None:
    assert one(0, slack=1000, ledger=1000) == "agrees"
    assert one(0, slack=900, ledger=1000) == "differs"


def test_what_is_unpriced_does_not_agree_with_an_amount() -> None:
    assert one(1000, unpriced=1) == "unpriced"
    assert one(None, unpriced=1) == "agrees"


def test_an_invoice_without_models_is_compared_by_day() -> None:
    entries = [Booked(day="2026-11-30", model=name, figures=Figures(nanos=cost)) for name, cost in (("a", 1), ("b", 2))]
    found = reconcile([InvoiceLine(day="2026-11-30", nanos=3)], entries, same)
    assert found.agrees and [(row.day, row.model) for row in found.rows] == [("2026-11-30", "")]


def test_the_total_is_compared_too() -> None:
    lines = [InvoiceLine(day="2026-11-30", model="a", nanos=1000), InvoiceLine(day="2026-12-01", model="a", nanos=1000)]
    entries = [Booked(day=line.day, model="a", figures=Figures(nanos=nanos)) for line, nanos in zip(lines, (900, 1100), strict=True)]
    found = reconcile(lines, entries, same)
    assert (found.total.verdict, found.total.drift, found.agrees) == ("agrees", Fraction(0), False)
