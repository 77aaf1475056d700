"""``python -m lineal_cli`` is ``lineal``."""

import sys

from lineal_cli.start import main

if __name__ == "__main__":
    sys.exit(main())
