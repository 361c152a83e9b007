"""The pages for people: their links lead somewhere, and the commands in them are ones."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
import pytest

from clearlift_adapters.cli.commands import cli
from clearlift_adapters.settings import load_settings

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = [
    ROOT / "README.md",
    *sorted(ROOT.glob("docs/**/*.md")),
    *ROOT.glob("examples/*/*.md"),
]

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def anchors(page: Path) -> set[str]:
    """Return the names that a forge gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


def told(page: Path) -> Iterator[list[str]]:
    """Yield the words of each command line of ours that stands in a block of a page."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    for block in re.findall(r"^```(?!text)\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for words in re.findall(r"clearlift-cron +([a-z-][^\n|>#&;)]*)", block):
            yield shlex.split(words.replace("…", "x"), comments=True)


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)

    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@each_page
def test_commands_are_ones_that_the_program_takes(page: Path) -> None:
    for words in told(page):
        ctx, rest = click.Context(cli, info_name="clearlift-cron"), words
        while isinstance(ctx.command, click.Group) and rest:
            ctx.allow_interspersed_args = False
            _, rest, _ = ctx.command.make_parser(ctx).parse_args(list(rest))
            command = ctx.command.get_command(ctx, rest[0]) if rest else None
            assert command is not None, words
            ctx, rest = click.Context(command, info_name=rest[0], parent=ctx), rest[1:]
        ctx.command.make_parser(ctx).parse_args(list(rest))


def test_the_readme_has_every_setting_and_every_command() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    settings = {name for name in load_settings({}, {}).origins if not name.endswith("_TOKEN_URL")}

    assert not [name for name in settings if f"`{name}`" not in text]
    assert not [name for name in cli.list_commands(click.Context(cli)) if f"`{name}" not in text]
