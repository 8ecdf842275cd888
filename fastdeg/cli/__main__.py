"""``python -m fastdeg.cli``: the same as the command ``fastdeg``."""

import sys

from fastdeg.cli import main

sys.exit(main())
