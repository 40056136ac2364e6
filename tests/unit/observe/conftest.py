"""A reader of Prometheus' text format that forgives nothing, written from its specification and not from our writer."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|\})')
VALUE = re.compile(r"[+-]?(?:Inf|NaN|\d+(?:\.\d+)?(?:e[+-]?\d+)?)")

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class Exposed:
    """The samples of a text, and the type of each family."""

    def __init__(self, text: str) -> None:
        self.samples: Samples = {}
        self.types: dict[str, str] = {}
        self._done: set[str] = set()
        self._current = ""
        assert text.endswith("\n")
        for line in text[:-1].split("\n"):
            self._comment(line) if line.startswith("#") else self._sample(line)
        self._check_histograms()

    def value(self, name: str, **labels: str) -> float:
        """One sample."""
        return self.samples[name, tuple(sorted(labels.items()))]

    def _comment(self, line: str) -> None:
        _, word, name, rest = line.split(" ", 3)
        assert word in {"HELP", "TYPE"} and NAME.fullmatch(name) and rest
        if word == "TYPE":
            assert name not in self.types and rest in {"counter", "gauge", "histogram"}
            self.types[name] = rest
        if name != self._current:
            assert name not in self._done, f"the family {name} is in two pieces"
            self._done.add(name)
            self._current = name

    def _sample(self, line: str) -> None:
        match = NAME.match(line)
        assert match, line
        name, rest, labels = match[0], line[match.end() :], {}
        if rest.startswith("{"):
            place = 1
            while True:
                pair = LABEL.match(rest, place)
                assert pair and pair[1] not in labels, line
                labels[pair[1]] = pair[2].replace(r"\n", "\n").replace(r"\"", '"').replace(r"\\", "\\")
                place = pair.end()
                if pair[3] == "}":
                    break
            rest = rest[place:]
        assert rest.startswith(" ") and VALUE.fullmatch(rest[1:]), line
        family = re.sub(r"_(?:bucket|sum|count)$", "", name) if self.types.get(self._current) == "histogram" else name
        assert family == self._current, line
        key = (name, tuple(sorted(labels.items())))
        assert key not in self.samples, f"twice: {line}"
        self.samples[key] = float(rest[1:])

    def _check_histograms(self) -> None:
        for family in (name for name, kind in self.types.items() if kind == "histogram"):
            rows: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
            for (name, labels), value in self.samples.items():
                if name == f"{family}_bucket":
                    bound = float(dict(labels)["le"])
                    rows.setdefault(tuple(pair for pair in labels if pair[0] != "le"), []).append((bound, value))
            for others, buckets in rows.items():
                assert [bound for bound, _ in buckets] == sorted(bound for bound, _ in buckets)
                counts = [count for _, count in buckets]
                assert counts == sorted(counts)
                assert buckets[-1] == (float("inf"), self.samples[f"{family}_count", others])
                assert (f"{family}_sum", others) in self.samples


@pytest.fixture
def exposed() -> Callable[[bytes], Exposed]:
    """Reads a text, and fails for one that is not valid."""
    return lambda text: Exposed(text.decode())
