"""Settings with the origin of each value, and secrets that do not leak. Read once, at the edge."""

from headgate.config.environment import Environment, read_environment
from headgate.config.keys import FoundKey, find_key, missing_key, present_keys
from headgate.config.secret import Secret, mask, redact
from headgate.config.settings import Settings, load_settings

__all__ = [
    "Environment",
    "FoundKey",
    "Secret",
    "Settings",
    "find_key",
    "load_settings",
    "mask",
    "missing_key",
    "present_keys",
    "read_environment",
    "redact",
]
