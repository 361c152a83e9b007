"""`doctor`: everything that can be wrong with an installation, each with its remedy."""

from collections.abc import Mapping, Sequence
from typing import Final, cast

import click
import msgspec

from clearlift_adapters.cli import exits, stopping
from clearlift_adapters.cli.examination import examined
from clearlift_adapters.cli.options import Command, Flags
from clearlift_adapters.cli.output import Columns, counted, print_json, print_line
from clearlift_adapters.doctor.findings import RANKS, Finding, Severity

WIDTH: Final = max(map(len, RANKS)) + 2


class DoctorReport(msgspec.Struct, frozen=True):
    """What `doctor --json` prints: the worst first."""

    errors: int
    warnings: int
    ok: int
    findings: Sequence[Finding]


@click.command("doctor", cls=Command, short_help="Find what is wrong, and say what to do.")
@click.option("--strict", is_flag=True, help="Warnings count as errors.")
@click.option(
    "--online", is_flag=True, help="Use the network: ask the providers, and a remote database."
)
@click.pass_obj
def command(flags: Flags, *, strict: bool, online: bool) -> int:
    """Look at settings, key, files, database, ticks and queue; say what is wrong, and what to do.

    Nothing is changed. The exit code is 7 if there is an error, with --strict also for a warning.
    """
    report = report_of(stopping.run(examined(flags, online=online)))
    if flags.json:
        print_json(report)
    else:
        _print(report)
    bad = report.errors or (strict and report.warnings)
    return exits.UNSATISFIED if bad else exits.DONE


def report_of(findings: Sequence[Finding]) -> DoctorReport:
    """Return the findings in order, and how many there are of each severity."""

    def number(severity: Severity) -> int:
        return sum(each.severity == severity for each in findings)

    ordered = sorted(findings, key=lambda each: RANKS[each.severity])
    return DoctorReport(number("error"), number("warning"), number("ok"), ordered)


def _print(report: DoctorReport) -> None:
    for each in report.findings:
        print_line(f"{each.severity:<{WIDTH}}{each.check}: {each.found}")
        if each.remedy is not None:
            print_line(f"{'':<{WIDTH}}do: {each.remedy}")
    settings = Columns("setting", "value", "from")
    for each in report.findings:
        if each.check == "configuration":
            settings.write(_setting(name, value) for name, value in each.values.items())
    print_line(
        f"{counted(report.errors, 'error')}, {counted(report.warnings, 'warning')}, {report.ok} ok"
    )


def _setting(name: str, value: object) -> Sequence[object]:
    told = cast("Mapping[str, object]", value)
    shown = told["value"] if "value" in told else "set" if told["set"] else "not set"
    return name, shown, told["from"]
