"""The world behind `clearlift_engine.ports`: databases, queues, token endpoints, the CLI."""

import sys
from typing import Any, cast

# httpx loads its own command line if rich, click and pygments are there: more than half of what
# loading it takes, in each process that speaks HTTP. What is None here cannot be loaded, which it
# takes for their absence.
cast("dict[str, Any]", sys.modules).setdefault("httpx._main", None)
