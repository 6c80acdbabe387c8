"""`python -m semcore.cli` is the `semcore` command."""

import sys

from semcore.cli import main

sys.exit(main())
