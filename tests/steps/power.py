"""Power cuts: at any step of a history, an image of the disk as it may be found afterwards.

A history is some commands, one after the other, whose steps are recorded with their bytes. What is
acknowledged at a moment is what stood in the database when a process last said something (on
stdout, stderr or to a provider), began its next transaction or ended. Every image must be whole,
hold all that was acknowledged before the cut, and be taken up by the product without more ado.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

from clearlift_adapters.backend import open_backend
from clearlift_adapters.stores.library import sqlite3
from clearlift_engine.replay import replay
from tests.steps.disk import STYLES, Disk, Style, files_in
from tests.steps.points import Step, read_journal
from tests.steps.processes import Warm
from tests.steps.scenes import EXPIRING, LATER_MS, READY, SCENES, Prepare
from tests.steps.stage import Stage, stage
from tests.steps.sweep import JOURNALS, Journal, Outcome, together

KEYS: Final[Mapping[str, str]] = {
    "outbox": "position || hash",
    "sync_jobs": "id",
    "queue_messages": "job_id",
    "runs": "id || coalesce(outcome, '')",
    "d1_migrations": "name",
}
TOKENS: Final = "SELECT id, credentials_encrypted FROM platform_connections"
FOLLOWED_EVERY: Final = 10  # Images on which the whole program runs too.

Rows = dict[str, set[str]]


class Content(NamedTuple):
    """What stands in a database, as far as it can be acknowledged."""

    rows: Rows
    tokens: dict[str, str]


class Cut(NamedTuple):
    """A moment of a history: the disk so far, and what had been acknowledged."""

    at: int
    step: Step
    acknowledged: Content


async def before_work(place: Stage) -> None:
    await place.done("migrate")
    place.add(*READY, *EXPIRING)


HISTORIES: Final[Mapping[str, tuple[Prepare, Sequence[Sequence[str]]]]] = {
    "tick and relay": (
        before_work,
        (("tick", "--json"), ("relay", "--drain", "--batch", "2"), ("replay", "--rebuild")),
    ),
    "migrate": (SCENES["migrate"].prepare, (("migrate",),)),
    "keys rotate": (SCENES["keys rotate"].prepare, (("keys", "rotate", "--json"),)),
}


class PowerCuts:
    """The images of one history."""

    def __init__(self, warm: Warm, room: Path, name: str, journal: Journal) -> None:
        self.warm, self.room = warm, room
        self.environment = JOURNALS[journal]
        self.prepare, self.commands = HISTORIES[name]
        self.told = dict(SCENES[name].environment) if name in SCENES else {}
        self.outcome = Outcome(f"{name}, {journal}", "cut")
        self.before: dict[str, bytes] = {}
        self.steps: list[Step] = []
        self.bytes = b""
        self.acknowledged: dict[int, Content] = {}

    async def run(self, images: int, *, seed: int = 1, jobs: int = 2) -> Outcome:
        """Build so many images, the cut and what survives it drawn from a seed, and check them."""
        self.acknowledged = self._acknowledgements()
        random = Random(seed)
        wanted = sorted(random.randint(0, len(self.steps)) for _ in range(images))
        made = enumerate(self._images(wanted, random))
        await together(jobs, (self._check(number, *image) for number, image in made))
        return self.outcome

    async def record(self) -> None:
        """Play the history, and keep what it wrote."""
        async with stage(self.warm, self.room, self.environment) as place:
            await self.prepare(place)
            self.before = files_in(place.folder)
            log = {"STEPS_JOURNAL": str(place.journal), "STEPS_BYTES": f"{place.journal}.bytes"}
            for arguments in self.commands:
                done = await place.run(*arguments, told={**self.told, **log})
                assert done.code == 0, done.err
            self.steps = read_journal(place.journal)
            self.bytes = place.journal.with_suffix(".bytes").read_bytes()

    def _replayed(self) -> Iterator[tuple[int, Step, Disk]]:
        """Yield the disk before each step, and once more when all is done."""
        disk, seen = Disk(self.before), 0
        for at, step in enumerate(self.steps):
            yield at, step, disk
            length = step.length if step.call == "write" and step.length > 0 else 0
            disk.take(step, self.bytes[seen : seen + length])
            seen += length
        yield len(self.steps), Step("end", 0, 0, "stdout"), disk

    def _acknowledgements(self) -> dict[int, Content]:
        """Return what is acknowledged from which step on."""
        found: dict[int, Content] = {}
        changed = True
        for at, step, disk in self._replayed():
            if changed and acknowledges(step, self.steps[at - 1]):
                found[at], changed = look(disk.view(), self.room / "look"), False
            changed = changed or not step.is_outside
        return found

    def _images(
        self, wanted: Sequence[int], random: Random
    ) -> Iterator[tuple[Cut, Style, dict[str, bytes]]]:
        """Yield the images for these moments, in their order."""
        known, moments = Content({}, {}), [*wanted]
        for at, step, disk in self._replayed():
            known = self.acknowledged.get(at, known)
            while moments and moments[0] == at:
                moments.pop(0)
                style = random.choice(STYLES)
                yield Cut(at, step, known), style, disk.image(random, style)

    async def _check(self, number: int, cut: Cut, style: Style, image: dict[str, bytes]) -> None:
        found = look(image, self.room / "look")
        wrong = [*missing(cut.acknowledged, found), *self._outdated(cut.acknowledged, found)]
        if not wrong:
            wrong = await self._taken_up(number, image, found)
        self.outcome.points += 1
        where = f"{self.outcome.name}: cut before step {cut.at + 1} ({cut.step}), {style}"
        self.outcome.broken += [f"{where}: {each}" for each in wrong]

    async def _taken_up(self, number: int, image: Mapping[str, bytes], found: Content) -> list[str]:
        """Return what is wrong when the product opens an image, and at times goes on with it."""
        wrong: list[str] = []
        async with stage(self.warm, self.room, self.environment) as place:
            put(image, place.folder)
            if found.rows.get("d1_migrations") and self.commands[0] != ("migrate",):
                wrong += await audited(place)
            if number % FOLLOWED_EVERY == 0:
                wrong += await self._followed(place)
        return wrong

    def _outdated(self, acknowledged: Content, found: Content) -> Iterator[str]:
        """Yield whose tokens are older than those that were acknowledged."""
        for connection_id, token in acknowledged.tokens.items():
            states = [content.tokens.get(connection_id) for content in self.acknowledged.values()]
            if found.tokens.get(connection_id) not in states[states.index(token) :]:
                yield f"the tokens of {connection_id} are not the newest that were acknowledged"

    async def _followed(self, place: Stage) -> list[str]:
        """Return what is wrong when the program goes on with an image."""
        wrong: list[str] = []
        migrates = [("migrate",)] if self.commands[0] == ("migrate",) else []
        for arguments in (*migrates, ("tick", "--relay"), ("replay", "--json")):
            done = await place.run(*arguments, now_ms=LATER_MS, told=self.told)
            if done.code not in {0, 3} or b"Traceback" in done.err:
                wrong.append(f"{arguments} ended with {done.code}: {done.err.decode()}")
        return wrong


def acknowledges(step: Step, before: Step) -> bool:
    """Return whether whoever takes this step knows that all before it is done."""
    begins = before.call in {"sync", "unlink"} and step.call == "write"
    return step.is_outside or begins


def put(image: Mapping[str, bytes], folder: Path) -> None:
    """Write the files of an image into a folder."""
    for path, content in image.items():
        if not path.endswith("-shm"):  # It is memory, and does not outlive the power.
            (folder / Path(path).name).write_bytes(content)


def look(image: Mapping[str, bytes], folder: Path) -> Content:
    """Return what stands in an image, which must be whole."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    put(image, folder)
    file = folder / "clearlift.db"
    if not file.exists():
        return Content({}, {})
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        try:
            return read(db)
        except sqlite3.DatabaseError as exc:
            return Content({"health": {str(exc)}, "orphans": set()}, {})


def read(db: Any) -> Content:  # noqa: ANN401  either of the two SQLite modules
    """Return what stands in a database."""
    tables = _texts(db, "SELECT name FROM sqlite_master")
    rows: Rows = {
        "health": _texts(db, "PRAGMA integrity_check"),
        "orphans": _texts(db, "PRAGMA foreign_key_check"),
    }
    for table in KEYS.keys() & tables:
        rows[table] = _texts(db, f"SELECT {KEYS[table]} FROM {table}")
    has_tokens = "platform_connections" in tables
    return Content(rows, dict(db.execute(TOKENS).fetchall()) if has_tokens else {})


def _texts(db: Any, query: str) -> set[str]:  # noqa: ANN401  either of the two SQLite modules
    return {str(row[0]) for row in db.execute(query)}


def missing(acknowledged: Content, found: Content) -> Iterator[str]:
    """Yield what is wrong with an image: damage, or what was acknowledged and is not there."""
    if found.rows and found.rows["health"] != {"ok"}:
        yield f"damaged: {found.rows['health']}"
    if found.rows and found.rows["orphans"]:
        yield f"rows without what they refer to: {found.rows['orphans']}"
    for table in KEYS:
        wanted, there = acknowledged.rows.get(table, set()), found.rows.get(table, set())
        if table == "runs":  # One that has ended since is the same one.
            there |= {run[:36] for run in there}
        if wanted - there:
            yield f"lost from {table}: {sorted(wanted - there)}"


async def audited(place: Stage) -> list[str]:
    """Return the violations that the product's own audit finds."""
    async with open_backend(f"sqlite:///{place.program.file}") as backend:
        report = await replay(backend.archive)
    return [f"{each.rule}: {each.detail}" for each in report.violations]
