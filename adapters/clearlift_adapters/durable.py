"""What it takes for a file's name to outlive a power cut: syncing the file alone is not enough."""

import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Return when the names in `folder`, those made and those removed, are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
