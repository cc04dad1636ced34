"""Signals that end a command in order, so that nothing stays of what it started and copied."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final, NoReturn

import click

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, whoever ends processes, and a connection that is lost."""


@contextmanager
def ended_in_order() -> Iterator[None]:
    """Let the first signal end the body as Ctrl-C does; in the main thread only.

    Those after it do nothing: they would interrupt what cleans up. A signal that is ignored
    already, as `nohup` has it, stays so.

    Raises:
        KeyboardInterrupt: At SIGINT.
        SystemExit: At the others, with 128 and the signal's number, as in a shell.
    """
    before = {number: signal.getsignal(number) for number in SIGNALS}
    caught = [number for number, handler in before.items() if handler is not signal.SIG_IGN]

    def end(received: int, _frame: FrameType | None) -> NoReturn:
        for number in caught:
            signal.signal(number, signal.SIG_IGN)
        if received == signal.SIGINT:
            raise KeyboardInterrupt
        click.echo(f"stopped by {signal.Signals(received).name}", err=True)
        raise SystemExit(128 + received)

    try:
        for number in caught:
            signal.signal(number, end)
        yield
    finally:
        for number in caught:
            signal.signal(number, before[number])
