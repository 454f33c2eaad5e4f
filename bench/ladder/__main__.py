"""The entry point of `python -m bench.ladder`."""

import sys

from bench.ladder.measure import main

if __name__ == "__main__":
    sys.exit(main())
