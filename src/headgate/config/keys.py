"""Finding a provider's key, and saying so helpfully when there is none (CON-02, PAS-05, OCT-39)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from headgate.config.environment import Environment
from headgate.config.secret import Secret
from headgate.errors import ConfigError, MissingKey


class FoundKey(msgspec.Struct, frozen=True):
    """A key, where it came from, and what is odd about it."""

    secret: Secret
    origin: str
    warnings: tuple[str, ...] = ()


def find_key(names: Sequence[str], environment: Environment, explicit: Secret | None = None, shape: str | None = None) -> FoundKey | None:
    """The key: `explicit`, else the first of the variables `names` that is set; None when none is.

    Variables that are set to different keys are a warning, and so is a key that does not begin like `shape`. Raises `ConfigError` for a
    key that cannot be sent (blanks, control characters, not ASCII).
    """
    found = [value for name in names if (value := environment.get(name)) is not None]
    if explicit is not None:
        secret, origin, others = explicit, "given explicitly", []
    elif found:
        secret, origin, others = Secret(found[0].value.strip()), found[0].origin, found[1:]
    else:
        return None
    checked_key(secret, origin)
    warnings = [f"{other.origin} differs from {origin}, which is used" for other in others if Secret(other.value.strip()) != secret]
    if shape is not None and not secret.reveal().startswith(shape):
        warnings.append(f"the key from {origin} ({secret}) does not begin with {shape!r} as this provider's keys do")
    return FoundKey(secret, origin, tuple(warnings))


def checked_key(secret: Secret, origin: str) -> Secret:
    """`secret` itself. Raises `ConfigError` naming `origin` when it cannot be sent."""
    text = secret.reveal()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise ConfigError(
            f"the key from {origin} is not usable: it is empty, or has blanks, control or non-ASCII characters in it",
            hint="copy the key again, in one line and without quotes inside",
        )
    return secret


def missing_key(label: str, names: Sequence[str]) -> MissingKey:
    """The error for a provider without a key: which variable, where to put it, and how to go on without one."""
    first, *others = names
    also = f" ({' or '.join(others)} will do as well)" if others else ""
    return MissingKey(
        f"no key for {label}: {first} is not set{also}.\n"
        f"  for this shell:   export {first}=…\n"
        f"  for this folder:  put the line {first}=… into the file .env (.env.template shows every name)\n"
        f"  without a key:    use a simulated provider, for instance --provider sim-openai",
        hint="headgate doctor",
    )


def present_keys(names: Mapping[str, Sequence[str]], environment: Environment) -> tuple[str, ...]:
    """The providers of `names` (provider: its variables) of which a variable is set, in order."""
    return tuple(provider for provider, variables in names.items() if any(environment.get(name) for name in variables))


def start_warning(names: Mapping[str, Sequence[str]], environment: Environment) -> str | None:
    """What to say at the start, without stopping, when no provider has a key (OCT-39); None when one has."""
    if present_keys(names, environment):
        return None
    wanted = ", ".join(variables[0] for variables in names.values() if variables)
    return f"no provider key is set ({wanted}): only simulated providers can be used"
