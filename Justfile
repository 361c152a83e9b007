set positional-arguments

# List the recipes
@default:
    just --list --unsorted

# Everything CI runs, in CI's order
check: format-check lint types imports test

# Run the tests; arguments go to pytest
@test *args:
    python3 -m pytest "$@"

@lint:
    ruff check .

@types:
    mypy engine adapters tests
    pyright

@imports:
    lint-imports

@format:
    ruff check --fix-only .
    ruff format .

@format-check:
    ruff format --check .

# The whole product on this machine in seconds
@demo *args:
    clearlift-cron demo "$@"

# Play simulated histories: --seeds 1..1000 --jobs 2, --minutes 10, or one --seed 42 --trace
@simulate *args:
    python -m tests.simulation "$@"

# Plant bugs, and show what finds each, and how soon: all of them, or those named
@sabotage *args:
    python -m tests.sabotage "$@"

# Prove at full length what the tests prove a slice of: hours; or some parts: `just proof storm`
@proof *args:
    python -m tests.proof "$@"

# Change the engine in one place at a time, and print what no unit test minds: some modules, or those named
@mutate *args:
    python -m tests.mutation "$@"

# Measure speed as ratios: beside plain sqlite3, with --peers beside other queues; --plot FILE draws
@bench *args:
    python -m tests.benchmarks "$@"

# Write docs/reference anew from the code
@docs:
    python -m tests.reference

# Write constraints.txt anew from pyproject.toml, and for production requirements.txt with its hashes
@lock:
    echo 'hatchling>=1.27' | uv pip compile -q pyproject.toml - --all-extras --universal --no-header --no-annotate -o constraints.txt
    echo 'hatchling>=1.27' | uv pip compile -q pyproject.toml - --extra web --extra otel -c constraints.txt --universal --generate-hashes --no-header --no-annotate -o requirements.txt
