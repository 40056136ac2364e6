"""Compile the YAML files of the catalog to the one JSON document it ships. With ``--check``: fail when that is out of date."""

from __future__ import annotations

import sys
from pathlib import Path

from headgate.catalog.load import COMPILED
from headgate.catalog.source import compile_catalog, parse_folder


def main(arguments: list[str]) -> int:
    """Write the compiled catalog, or compare it. Returns the exit code."""
    data = compile_catalog(parse_folder(COMPILED.parent / "data"))
    if "--check" in arguments:
        if COMPILED.exists() and COMPILED.read_bytes() == data:
            return 0
        print(f"{COMPILED} is out of date; run: python {Path(sys.argv[0])}", file=sys.stderr)
        return 1
    COMPILED.write_bytes(data)
    print(f"{COMPILED}: {len(data):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
