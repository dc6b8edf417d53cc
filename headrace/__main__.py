"""`python -m headrace` is `headrace`."""

import sys

from headrace.pipelines.cli import main

sys.exit(main())
