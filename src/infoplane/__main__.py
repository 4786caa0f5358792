"""`python -m infoplane` is `infoplane`."""

import sys

from infoplane.cli import main

sys.exit(main())
