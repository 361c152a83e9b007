"""The floor of replay: read every row, hash it, decode its JSON, and nothing else.

Run as a process: `python -m tests.benchmarks.reading FILE`. Prints how many rows there were.
"""

import json
import sys
from hashlib import sha256

from clearlift_adapters.stores.library import sqlite3


def main(file: str) -> None:
    """Read the log in the order of its streams."""
    db = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    rows = 0
    for row in db.execute(
        "SELECT connection_id, version, transition, source, target, occurred_at, run_id, job_id,"
        " data, hash FROM outbox ORDER BY connection_id, version"
    ):
        assert len(sha256(row[8].encode()).hexdigest()) == len(row[9])
        assert json.loads(row[8])
        rows += 1
    sys.stdout.write(f"{rows}\n")


if __name__ == "__main__":
    main(sys.argv[1])
