"""`python -m clearlift_adapters.cli` is `clearlift-cron`, installed or not."""

from clearlift_adapters.cli import main

main()
