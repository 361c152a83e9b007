"""`audit`: sign what the log says, and prove later that it still says so.

`verify` with both files needs neither a database nor any setting but the public key: whoever audits
the worker runs it on another machine.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from clearlift_adapters.cli import exits, stopping
from clearlift_adapters.cli.options import Command, Flags, Group, SelfContained
from clearlift_adapters.cli.output import Columns, counted, print_bytes, print_json, print_line
from clearlift_adapters.cli.runs import noted, recorded
from clearlift_adapters.cli.world import World, clock_of, open_world
from clearlift_adapters.seal_files import SealFile, created, merged, opened, rows_in, seals_in
from clearlift_adapters.stores.seals import ROWS_AT_ONCE, SqliteSeals
from clearlift_engine.errors import ConfigurationError
from clearlift_engine.seal import NotAsSealedError, encoded
from clearlift_engine.seals import Problem, Seal
from clearlift_engine.stream import Entry
from clearlift_engine.verify import Proof, verify

if TYPE_CHECKING:  # It loads cryptography.
    from clearlift_adapters.signing import Signer, Verifier

_FILE = click.Path(path_type=Path, dir_okay=False)
_NO_PUBLIC_KEY = (
    "AUDIT_PUBLIC_KEY is not set: set it, or --public-key, to what `audit keygen` printed; without "
    "it, seals prove nothing"
)
_NO_SIGNING_KEY = (
    "AUDIT_SIGNING_KEY is not set: make a key with `clearlift-cron audit keygen --out FILE`, and "
    "set AUDIT_SIGNING_KEY_FILE to that file"
)


@click.group("audit", cls=Group, short_help="Seal the log; prove that it is as it was sealed.")
def command() -> None:
    """Seal the log with a signature, and prove later that it is as it was sealed.

    Whoever can write to the database can write the whole log anew, hashes and all. The key that
    seals are signed with must not be where such people are.
    """


@command.command(cls=SelfContained, short_help="Make a signing key; print the public one.")
@click.option(
    "--out", "file", type=_FILE, required=True, metavar="FILE", help="Where the key goes (0600)."
)
@click.pass_obj
def keygen(flags: Flags, *, file: Path) -> None:
    """Write a new signing key to FILE, which must not be there yet, and print the public key."""
    from clearlift_adapters.signing import make_key, public_text  # noqa: PLC0415  cryptography

    public = public_text(make_key(file))
    if flags.json:
        print_json({"file": str(file), "public_key": public})
    else:
        print_line(public)


@command.command(cls=Command, short_help="Sign what the log says now.")
@click.option(
    "--out",
    "file",
    type=_FILE,
    metavar="FILE",
    help="Append the seals to FILE too; keep it where the database's writers cannot write.",
)
@click.pass_obj
def seal(flags: Flags, *, file: Path | None) -> int:
    """Sign the rows that came since the last seal, and that nothing before them has changed.

    With --json, print each new seal, as it stands in FILE.
    """
    return stopping.run(_seal(flags, file))


async def _seal(flags: Flags, file: Path | None) -> int:
    signer = _signer(flags)
    verifier = _verifier([signer.public, *_trusted(flags, None, required=False)])
    with ExitStack() as files:
        kept = None if file is None else files.enter_context(opened(file))
        async with open_world(flags, "rw") as world, recorded(world, "audit seal") as run:
            try:
                made = await _seal_in(flags, world, run.id, (signer, verifier), kept)
            except NotAsSealedError as exc:
                world.log.note("error", str(exc), position=exc.position)
                run.code, run.report = exits.VIOLATED, {"position": exc.position}
                return run.code
            run.report = {"seals": len(made), "position": made[-1].position if made else None}
    if not flags.json:
        _tell_of(made)
    return exits.DONE


async def _seal_in(
    flags: Flags,
    world: World,
    run_id: str,
    keys: "tuple[Signer, Verifier]",
    kept: SealFile | None,
) -> Sequence[Seal]:
    """Return the new seals, without their marks: those may be many."""
    from clearlift_adapters.sealing import seal as sealed  # noqa: PLC0415  it loads cryptography

    store = SqliteSeals(world.backend.db)
    after = 0 if kept is None else await _agreed(store, kept)
    made: list[Seal] = []
    async for each in sealed(store, *keys, world.clock, run_id):
        if flags.json:
            print_bytes(encoded(each))
        made.append(msgspec.structs.replace(each, marks=b""))
    if kept is not None:
        async for stored in store.seals(after):
            if isinstance(stored, Seal):
                kept.add(stored)
        kept.sync()
    return made


async def _agreed(store: SqliteSeals, kept: SealFile) -> int:
    """Return the number of the last seal of a file, which must be the database's too.

    Raises:
        NotAsSealedError: it is not, or the file cannot be read.
    """
    last = kept.last
    if last is None:
        return 0
    if isinstance(last, Problem):
        raise NotAsSealedError(1, last.detail)
    if await anext(store.seals(last.number - 1), None) != last:
        raise NotAsSealedError(last.first, f"seal {last.number} of the file is not in the database")
    return last.number


def _tell_of(made: Sequence[Seal]) -> None:
    if not made:
        print_line("nothing new to seal")
        return
    last, rows = made[-1], made[-1].position - made[0].first + 1
    print_line(
        f"sealed {counted(rows, 'row')} up to position {last.position} in "
        f"{counted(len(made), 'seal')}, the last is number {last.number}; digest {last.log_digest}"
    )


@command.command("verify", cls=Command, short_help="Prove that the log is as it was sealed.")
@click.option(
    "--log", "log", type=_FILE, metavar="FILE", help="An exported log, instead of the database's."
)
@click.option(
    "--seals",
    "seals",
    type=_FILE,
    metavar="FILE",
    help="Seals that were kept; without --log, beside those of the database.",
)
@click.option(
    "--public-key",
    metavar="KEY,...",
    help="Which keys may have signed. Default: AUDIT_PUBLIC_KEY.",
)
@click.pass_obj
def verify_(flags: Flags, *, log: Path | None, seals: Path | None, public_key: str | None) -> int:
    """Compare the log with its seals, and name the first position that is not as it was sealed.

    With --log and --seals, no database is opened.
    """
    proof = stopping.run(_verify(flags, log, seals, public_key))
    if flags.json:
        print_json(proof)
    else:
        _print(proof)
    if proof.seals == 0 and not proof.violations:
        flags.log.note("warning", "there is no seal: nothing is proven; run `audit seal` first")
    return _code_of(proof)


def _code_of(proof: Proof) -> int:
    if proof.violations:
        return exits.VIOLATED
    return exits.DONE if proof.seals else exits.UNSATISFIED


async def _verify(
    flags: Flags, log: Path | None, seals: Path | None, public_key: str | None
) -> Proof:
    verifier = _verifier(_trusted(flags, public_key, required=True))
    if log is not None and seals is not None:
        return await verify(rows_in(log), seals_in(seals), verifier.objection)
    began_at = clock_of(flags, writes=False).now()
    async with open_world(flags, "ro") as world:
        store = SqliteSeals(world.backend.db)
        stored = store.seals()
        signed = stored if seals is None else merged(stored, seals_in(seals))
        rows = store.rows(0, await store.last_position()) if log is None else rows_in(log)
        proof = await verify(rows, signed, verifier.objection)
    if log is None:  # Of an exported log, nobody knows whether it is this database's.
        brief = {"position": proof.position, "violations": len(proof.violations)}
        await noted(flags, "audit verify", began_at, _code_of(proof), brief)
    return proof


def _print(proof: Proof) -> None:
    if proof.sealed_at is None:
        print_line(f"nothing is proven by {counted(proof.seals, 'seal')}")
    else:
        print_line(
            f"proven up to position {proof.position}, sealed at {proof.sealed_at}; "
            f"{counted(proof.seals, 'seal')}"
        )
    if proof.newer is not None:
        print_line(f"{counted(proof.newer, 'row is', 'rows are')} newer than the last seal")
    columns = Columns("position", "rule", "detail")
    columns.write((v.position, v.rule, v.detail) for v in proof.violations)


@command.command(cls=Command, short_help="Write the whole log as JSON lines.")
@click.option("--out", "file", type=_FILE, metavar="FILE", help="A new file, instead of stdout.")
@click.pass_obj
def export(flags: Flags, *, file: Path | None) -> None:
    """Write the log as JSON, one row a line with all its columns, in the order of positions.

    The same log gives the same bytes, wherever it is.
    """
    stopping.run(_export(flags, file))


async def _export(flags: Flags, file: Path | None) -> None:
    async with open_world(flags, "ro") as world:
        store = SqliteSeals(world.backend.db)
        lines = _lines(store.rows(0, await store.last_position()))
        if file is None:
            async for chunk in lines:
                print_bytes(chunk)
            return
        with created(file) as out:
            async for chunk in lines:
                out.write(chunk)


async def _lines(rows: AsyncIterator[Entry]) -> AsyncIterator[bytes]:
    chunk: list[bytes] = []
    async for row in rows:
        chunk.append(encoded(row))
        if len(chunk) == ROWS_AT_ONCE:
            yield b"".join(chunk)
            chunk.clear()
    yield b"".join(chunk)


def _signer(flags: Flags) -> "Signer":
    from clearlift_adapters.signing import Signer  # noqa: PLC0415  it loads cryptography

    key = flags.settings.audit_signing_key
    if key is None:
        raise ConfigurationError(_NO_SIGNING_KEY)
    return Signer(key.value)


def _trusted(flags: Flags, given: str | None, *, required: bool) -> Sequence[bytes]:
    """Return the public keys; settings are read only if the command line names none."""
    from clearlift_adapters.signing import public_keys  # noqa: PLC0415  it loads cryptography

    keys = public_keys(given or flags.settings.audit_public_key or "")
    if required and not keys:
        raise ConfigurationError(_NO_PUBLIC_KEY)
    return keys


def _verifier(keys: Sequence[bytes]) -> "Verifier":
    from clearlift_adapters.signing import Verifier  # noqa: PLC0415  it loads cryptography

    return Verifier(keys)
