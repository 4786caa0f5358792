"""`python -m infoplane` is `infoplane`."""

import sys

from infoplane.commands.cli import main

sys.exit(main())
