"""``python -m nnfs_xp``: the command line."""

import sys

from nnfs_xp.cli import main

sys.exit(main())
