"""The arguments of `analyze_results` as a pipeline's `post_process` writes them (OCT-156)."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

import msgspec

from headgate.batch.analysis import Options
from headgate.errors import RunError

FORMATS = ("table", "csv", "json", "md")


class Wanted(msgspec.Struct, frozen=True):
    """What to analyze, and in which form to tell it."""

    options: Options
    kind: str = "table"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise RunError(f"analyze_results: {message}", hint="headgate analyze --help")


def parse_args(args: Sequence[str]) -> Wanted:
    """Read the arguments. Raises `RunError` for what is not understood."""
    parser = _Parser(prog="analyze_results", add_help=False, allow_abbrev=False)
    parser.add_argument("--group-by", required=True)
    field = parser.add_mutually_exclusive_group(required=True)
    field.add_argument("--count-field")
    field.add_argument("--numeric-field")
    for name in ("--net-positive", "--net-negative"):
        parser.add_argument(name, nargs="+", default=[], action="extend")
    parser.add_argument("--custom-stat", default=[], action="append")
    parser.add_argument("--output-format", choices=FORMATS, default="table")
    parser.add_argument("--title")
    found = parser.parse_args(list(args))
    options = Options(
        group_by=found.group_by,
        count_field=found.count_field,
        numeric_field=found.numeric_field,
        net_positive=tuple(found.net_positive),
        net_negative=tuple(found.net_negative),
        custom_stats=tuple(_statistic(text) for text in found.custom_stat),
        title=found.title,
    )
    return Wanted(options, found.output_format)


def _statistic(text: str) -> tuple[str, str]:
    name, equals, source = text.partition("=")
    if not equals or not name.strip():
        raise RunError(f"analyze_results: --custom-stat {text!r} is no NAME=EXPRESSION")
    return name.strip(), source.strip()
