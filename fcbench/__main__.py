"""python -m fcbench."""

from __future__ import annotations

import sys

from fcbench.cli import main

if __name__ == "__main__":
    sys.exit(main())
