"""python -m fcbench: the command line in a process of its own."""

from __future__ import annotations

import io
import logging
import sys
import warnings

from fcbench import cli
from fcbench.cli._stderr import Stderr
from fcbench.text import visible_lines, without_secrets


def _shown(text: str) -> str:
    return visible_lines(without_secrets(text))


class _Record(logging.LogRecord):
    """A line of a log, in which a server's words or a model's own may stand."""

    def getMessage(self) -> str:  # noqa: N802  logging's own name
        """Return what is logged, fit for a terminal."""
        return _shown(super().getMessage())


def main() -> int:
    """Set up this process for a person at a terminal and run the command line."""

    def one_line(message: Warning | str, *_: object, **__: object) -> str:
        return f"warning: {_shown(str(message))}\n"

    warnings.formatwarning = one_line
    # Of every logger: transformers and huggingface_hub have handlers of their own.
    logging.setLogRecordFactory(_Record)
    # This process is ours: print whatever a model wrote, lone surrogates and huge integers too.
    sys.set_int_max_str_digits(0)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr = Stderr(
            sys.stderr.buffer, sys.stderr.encoding, sys.stderr.errors, line_buffering=True
        )
    log = logging.getLogger("fcbench")
    log.addHandler(logging.StreamHandler())
    log.setLevel(logging.INFO)
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
