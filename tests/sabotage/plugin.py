"""For pytest: plants the bug that SABOTAGE names, before any test is imported."""

import os

from tests.sabotage.bugs import BUGS

for change in BUGS[os.environ["SABOTAGE"]].changes:
    change.plant()
