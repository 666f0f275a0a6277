"""``python -m volcast`` is the command ``volcast``."""

import sys

from volcast.cli.main import main

sys.exit(main())
