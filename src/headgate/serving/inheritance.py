"""What a supervisor tells a process it starts, and how the process hears that its supervisor is gone.

Standard input brings one line of JSON and then stays open for as long as the supervisor lives; standard output takes lines back: that it
serves, how it read its settings. So no secret is in an argument or a variable, and a process that was left alone drains and ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading

import msgspec

from headgate.config.reload import ReloadState
from headgate.errors import ConfigError
from headgate.wire.json import JsonObject

READY = b"ready"
"""The line that says that requests are served."""
READING = b"reading "
"""Begins a line that says how the settings were read."""
LONGEST = 32 << 10


class Inherited(msgspec.Struct, frozen=True):
    """A process's place (`slot`, from 0, of `workers`), the number of its listening socket, and the options of whoever supervises."""

    slot: int
    workers: int
    descriptor: int
    options: JsonObject

    def listening(self) -> socket.socket:
        """The socket. To be called once."""
        return socket.socket(fileno=self.descriptor)


_decode = msgspec.json.Decoder(Inherited).decode


def render_inherited(inherited: Inherited) -> bytes:
    """The line for a new process."""
    line = msgspec.json.encode(inherited) + b"\n"
    if len(line) > LONGEST:
        raise ValueError(f"a process can be told {LONGEST} bytes, not {len(line)}")
    return line


class Lifeline:
    """The process's end: read once, then watched."""

    def __init__(self, incoming: int = 0, outgoing: int = 1) -> None:
        self._incoming = incoming
        self._outgoing = os.dup(outgoing)
        os.set_inheritable(self._outgoing, False)
        os.dup2(2, outgoing)  # whatever is printed goes where messages go

    def read(self) -> Inherited:
        """What the supervisor says. Raises `ConfigError` when nobody supervises."""
        line = b""
        while not line.endswith(b"\n"):
            piece = os.read(self._incoming, 1)
            if not piece or len(line) >= LONGEST:
                raise ConfigError("this process is started by `headgate serve --workers` alone", hint="headgate serve --workers 2")
            line += piece
        try:
            return _decode(line)
        except msgspec.MsgspecError as error:
            raise ConfigError(f"what the supervisor said cannot be read: {error}", hint="headgate serve --workers 2") from error

    def watch(self) -> None:
        """From now on, send this process SIGTERM when the supervisor is gone."""
        threading.Thread(target=self._wait, name="headgate-lifeline", daemon=True).start()

    def ready(self) -> None:
        """Say that requests are served."""
        os.write(self._outgoing, READY + b"\n")

    def read_settings(self, state: ReloadState) -> None:
        """Say how the settings were read. A supervisor that is gone is none to be told."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._outgoing, READING + msgspec.json.encode(state) + b"\n")

    def _wait(self) -> None:
        while os.read(self._incoming, 4096):
            continue
        os.kill(os.getpid(), signal.SIGTERM)
