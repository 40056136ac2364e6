"""The beginnings of a new provider, as files: within a checkout of Headgate, or as a package of its own."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from headgate.config.provider_settings import NAME
from headgate.errors import UsageError
from headgate.providers import PROVIDERS
from headgate.providers.openai_compatible import DIALECTS, KEY_HEADERS, WIRE_HEADERS
from headgate.transport.settings import parse_origin

MAX_NAME = 60
_SIGNS = "\"'\\<>#:"
"""What would end a string, a template's word or a YAML value in the files that are written."""
INIT = Path("src/headgate/providers/__init__.py")
TEMPLATE = Path(".env.template")
SETTINGS = Path("docs/reference/settings.md")


class NewProvider(msgspec.Struct, frozen=True):
    """What is known of a provider that is to be written."""

    name: str
    label: str
    dialect: str
    base_url: str
    key_env: str

    @property
    def words(self) -> dict[str, str]:
        """The words of the templates."""
        header, prefix = KEY_HEADERS.get(self.dialect, ("authorization", "Bearer "))
        module = self.name.replace("-", "_")
        beginning = f'header="{header}", ' + (f'prefix="{prefix}", ' if prefix else "")
        further = WIRE_HEADERS.get(self.dialect, ())
        headers = "    headers=(" + "".join(f'("{name}", "{value}"),' for name, value in further) + "),\n" if further else ""
        return {**msgspec.structs.asdict(self), "module": module, "auth": f'{beginning}env=("{self.key_env}",)', "headers": headers}


def described(name: str, label: str | None, dialect: str, base_url: str | None, key_env: str | None) -> NewProvider:
    """A checked description, with what was left out filled in. Raises `UsageError`."""
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name for a provider: use lower-case letters, digits, dashes and underscores")
    if len(name) > MAX_NAME or keyword.iskeyword(name):
        raise UsageError(f"{name[:MAX_NAME]!r} cannot name a module: use up to {MAX_NAME} characters, and no word of Python's own")
    if name in PROVIDERS:
        raise UsageError(f"there is a provider {name} already", hint="headgate provider ls")
    if dialect not in DIALECTS:
        raise UsageError(f"there is no dialect {dialect!r}; known are {', '.join(DIALECTS)}")
    variable = key_env or f"{re.sub('[^A-Z0-9]', '_', name.upper())}_API_KEY"
    if not re.fullmatch("[A-Z][A-Z0-9_]*", variable):
        raise UsageError(f"{variable!r} is no name for a variable", hint="example: --key-env ACME_API_KEY")
    title = label or name.replace("-", " ").title()
    if not title.isprintable() or any(sign in title for sign in _SIGNS):
        raise UsageError(f"{title!r} is no label: use one line without quotes, backslashes, <, >, # or a colon")
    address = (base_url or f"https://api.{name.replace('_', '-')}.example/v1").rstrip("/")
    if '"' in address:
        raise UsageError(f"{address!r} is no base URL", hint="example: --base-url https://api.example.com/v1")
    parse_origin(address, allow_private=True)
    return NewProvider(name, title, dialect, address, variable)


def is_checkout(folder: Path) -> bool:
    """Whether `folder` holds Headgate's own source."""
    return (folder / INIT).is_file()


def planned(new: NewProvider, folder: Path) -> dict[Path, str]:
    """The files to be written, with their content. Raises `UsageError` when one is there already."""
    words = new.words
    if is_checkout(folder):
        files = {folder / _filled(path, words): _filled(text, words) for path, text in _CHECKOUT.items()}
    else:
        files = {folder / f"headgate-{new.name}" / _filled(path, words): _filled(text, words) for path, text in _PACKAGE.items()}
    there = [path for path in files if path.exists()]
    if there:
        raise UsageError(f"{there[0]} is there already; nothing was written", hint=f"ls {there[0].parent}")
    return files


def registered(new: NewProvider, source: str) -> str:
    """`providers/__init__.py` with the new record imported and in the tuple. Raises `UsageError` when it is not as it was."""
    module = new.words["module"]
    names = re.search(r"from headgate\.providers import \(?([\w\s,]+?)\)?\n(?=from|\n)", source)
    first = re.search(r"^        (?=sim\.)", source, re.MULTILINE)
    if names is None or first is None:
        raise UsageError(f"{INIT} is not as expected: add {module}.PROVIDER to its tuple by hand")
    listed = sorted({*re.findall(r"\w+", names[1]), module})
    line = f"from headgate.providers import {', '.join(listed)}\n"
    if len(line) > 140:
        line = "from headgate.providers import (\n" + "".join(f"    {name},\n" for name in listed) + ")\n"
    with_record = source[: first.start()] + f"        {module}.PROVIDER,\n" + source[first.start() :]
    return with_record.replace(names[0], line, 1)


def with_variable(new: NewProvider, template: str) -> str:
    """``.env.template`` with the variable of the new key behind those of the other providers."""
    return re.sub(r"(?m)^(# Provider keys.*\n(?:\w+=\n)+)", rf"\g<1>{new.key_env}=\n", template, count=1)


def with_row(new: NewProvider, page: str) -> str:
    """The page of settings with a row for the new key."""
    return re.sub(
        r"(?m)((?:^\| `[A-Z]\w+`(?:, else `\w+`)* \| `[a-z][\w-]*` \|\n)+)", rf"\g<1>| `{new.key_env}` | `{new.name}` |\n", page, count=1
    )


def write(new: NewProvider, folder: Path) -> list[Path]:
    """Write the files; within a checkout also the record into the table and its key into the documentation. Returns what was touched."""
    files = planned(new, folder)
    changed: dict[Path, str] = {}
    if is_checkout(folder):
        edits = ((INIT, registered), (TEMPLATE, with_variable), (SETTINGS, with_row))
        changed = {folder / path: edit(new, _text_of(folder / path)) for path, edit in edits}
    for path, text in (files | changed).items():
        _put(path, text)
    return [*files, *changed]


def _put(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}", hint=f"ls -ld {path.parent}") from error


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read, so this is no whole checkout: {error}", hint=f"ls -l {path}") from error


def _filled(template: str, words: Mapping[str, str]) -> str:
    for name, value in words.items():
        template = template.replace(f"<{name}>", value)
    return template


_RECORD = '''"""<label> (API reference)."""

from headgate.dialects import <dialect>
from headgate.providers.base import Auth, Provider

PROVIDER = Provider(
    name="<name>",
    label="<label>",
    base_url="<base_url>",
    chat=<dialect>.DIALECT,
    auth=Auth(<auth>),
<headers>)
'''

_CARDS = """# Models of <label>. Prices: dollars per million tokens, realtime, as its pricing page lists them. One model looks like this:
#   - id: model-name
#     display_name: Model name
#     capabilities: {context: 128000, max_output: 16384}
#     prices: [{since: "2026-01-31", source: "its pricing page, 2026-01-31", rates: {input: "0.10", output: "0.40"}}]
provider: <name>
label: <label>
models: []
"""

_DOCS = """# <label>

Key: `<key_env>`. Wire: `<dialect>`.

```sh
export <key_env>=…
headgate provider check <name> -m MODEL
headgate ask -m <name>/MODEL "Name three rivers."
```
"""

_TEST = '''"""<label>: its record is held to what every provider is held to."""

from __future__ import annotations

import pytest

from <where> import PROVIDER
from headgate.testing.conformance import Case
from headgate.testing.parametrize import conformance_params


@pytest.mark.parametrize("case", conformance_params(PROVIDER))
def test_conformance(case: Case) -> None:
    case.run()


def test_its_key_is_sent_as_it_wants_it() -> None:
    assert PROVIDER.auth.env == ("<key_env>",)
    assert PROVIDER.base_url == "<base_url>"
'''

_CHECKOUT = {
    "src/headgate/providers/<module>.py": _RECORD,
    "src/headgate/catalog/data/<name>.yaml": _CARDS,
    "tests/unit/providers/test_<module>.py": _TEST.replace("<where>", "headgate.providers.<module>"),
}

_PACKAGE = {
    "pyproject.toml": """[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "headgate-<name>"
version = "0.1.0"
description = "<label> for Headgate"
requires-python = ">=3.11"
dependencies = ["headgate"]

[project.entry-points."headgate.providers"]
<name> = "headgate_<module>:PROVIDER"
""",
    "README.md": _DOCS + "\nModels and prices: `HEADGATE_CATALOG_FILE=models.yaml`.\n",
    "models.yaml": _CARDS,
    "src/headgate_<module>/__init__.py": _RECORD,
    "tests/test_<module>.py": _TEST.replace("<where>", "headgate_<module>"),
}
