"""`python -m headrace` is `headrace`."""

import sys

from headrace.pipelines.cli.main import main

sys.exit(main())
