#!/usr/bin/env python3
"""Let the conformance suite find what becomes of each feature between each surface and each provider, and write the shipped matrix.

tools/generate_fidelity.py            # write; the date changes only when the matrix does
tools/generate_fidelity.py --check    # exit 1 when the matrix would change
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

import msgspec

from headgate.catalog.cards import day_of
from headgate.catalog.fidelity import COMPILED, Matrix
from headgate.catalog.load import load_catalog
from headgate.dialects import anthropic_messages, gemini_generate, openai_chat, openai_responses
from headgate.providers import PROVIDERS
from headgate.testing.conformance.fidelity import fates

SURFACES = tuple(module.DIALECT for module in (openai_chat, openai_responses, anthropic_messages, gemini_generate))


def found(day: str) -> Matrix:
    """The matrix of the code as it is."""
    real = [provider for provider in PROVIDERS.values() if not provider.simulated]
    return Matrix(day, tuple(fates(SURFACES, real, load_catalog())))


def main(argv: Sequence[str] | None = None) -> int:
    """Write the matrix, or say whether it is current."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--check", action="store_true")
    check: bool = options.parse_args(argv).check
    held = msgspec.json.decode(COMPILED.read_bytes(), type=Matrix) if COMPILED.exists() else Matrix("", ())
    new = found(day_of(time.time()))
    if new.fates == held.fates:
        return 0
    if check:
        print(f"{COMPILED} is not current: tools/generate_fidelity.py", file=sys.stderr)
        return 1
    COMPILED.write_bytes(msgspec.json.encode(new) + b"\n")
    print(f"{COMPILED}: {len(new.fates)} fates")
    return 0


if __name__ == "__main__":
    sys.exit(main())
