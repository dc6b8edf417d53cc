"""`python -m pipelines` is `headrace`."""

import sys

from pipelines.cli import main

sys.exit(main())
