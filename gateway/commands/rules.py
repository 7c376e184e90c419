"""`rules …`: the engineer's bench."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from gateway.commands.options import AsJson, SiteFolder, fail, read_site, rule_steps

app = typer.Typer(
    help="The engineer's bench: check rules, test them, play them over the past, tune and compare them.",
    no_args_is_help=True,
)


@app.command()
def lint(
    folder: SiteFolder,
    strict: Annotated[bool, typer.Option("--strict", help="exit 1 where there is a warning")] = False,
) -> None:
    """Every mistake in the rules (exit 2), and every warning: what never fires, what chatters, what has no name."""
    from gateway.workbench.facts import warnings

    site = read_site(folder)
    found = warnings(site)
    for warning in found:
        typer.echo(str(warning))
    rules, n = len(site.rules), len(found)
    typer.echo(f"{rules} rule{'s' * (rules != 1)}, no mistake, {n or 'no'} warning{'s' * (n != 1)}", err=True)
    if found and strict:
        raise typer.Exit(1)


@app.command("test")
def run_cases(
    folder: SiteFolder,
    cases: Annotated[
        list[Path] | None, typer.Argument(metavar="[CASES]…", help="files or folders; else SITE/tests")
    ] = None,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="the outcome as JUnit XML too")] = None,
) -> None:
    """Run rule tests, which are data files: exit 0 if all is as expected, else 1. rules/README.md tells the form."""
    from gateway.workbench import casework

    site = read_site(folder)
    paths = casework.find(folder, cases or [])
    if not paths:
        fail(f"no test there: write {folder / casework.FOLDER}/<name>.toml, or name files", 2)
    outcomes = []
    for outcome in casework.run(site, paths):
        outcomes.append(outcome)
        typer.echo(f"{'ok  ' if outcome.passed else 'FAIL'}  {outcome.path.name}: {outcome.title}")
        for line in outcome.wrong:
            typer.echo(f"        {line}")
    if junit is not None:
        _write(junit, casework.junit(outcomes))
    failed = sum(not outcome.passed for outcome in outcomes)
    typer.echo(f"{len(outcomes)} test{'s' * (len(outcomes) != 1)}, {failed or 'none'} failed", err=True)
    if failed:
        raise typer.Exit(1)


RuleNames = Annotated[
    list[str] | None, typer.Option("--rule", metavar="RULE", help="only this rule; repeat it")
]
From = Annotated[
    str,
    typer.Option(
        "--from", metavar="TIME", help="7d (ago) or 2026-01-05T00:00 (UTC); else 30d, or all of the files"
    ),
]
To = Annotated[str, typer.Option("--to", metavar="TIME", help="likewise; else now")]
CsvFiles = Annotated[
    list[Path] | None,
    typer.Option("--csv", metavar="FILE", help="not the site's store but this file; repeat it"),
]
OfAsset = Annotated[
    str | None, typer.Option("--asset", help="whose the columns of the files are, if they do not say")
]
Recording = Annotated[
    Path | None, typer.Option("--recording", metavar="FILE", help="not the store but what `record` wrote")
]
ReportFolder = Annotated[
    Path | None,
    typer.Option("--report", metavar="DIR", help="write an HTML page there, and the plots as PNG"),
]
InLanguage = Annotated[
    Literal["zh", "en"] | None, typer.Option("--language", help="of the page; else the site's")
]


@app.command()
def backtest(
    folder: SiteFolder,
    *,
    rule: RuleNames = None,
    start: From = "",
    end: To = "",
    csv: CsvFiles = None,
    asset: OfAsset = None,
    recording: Recording = None,
    report: ReportFolder = None,
    language: InLanguage = None,
    as_json: AsJson = False,
) -> None:
    """Which work orders the rules would have opened over the past: the site's store, or CSV files.

    The daemon's own evaluator and its way from alarm to order; rules in shadow or off count as live.
    """
    from gateway.workbench import report as pages
    from gateway.workbench import stretch, terminal, trial

    site = read_site(folder)
    with _one_line():
        played = stretch.open_stretch(site, csv or [], asset, start, end, recorded=recording)
        bounds = stretch.bind_all(site, stretch.as_live(site.rules, rule or []), played.past)
        with terminal.progress() as progress:
            found = trial.play(site, bounds, played, progress)
        if not found.samples:
            fail(f"{played.past.name} has no samples of these rules' signals between --from and --to", 1)
        if report is not None:
            _tell_of(pages.write(report, site, found, language or site.site.language))
    if as_json:
        typer.echo(json.dumps(pages.as_json(found), ensure_ascii=False, indent=2))
        return
    typer.echo("\n".join((" · ".join(pages.facts(found, "en")), *pages.notes(found, "en"), "")))
    terminal.table(pages.orders(found, "en"), "no work order would have opened")
    typer.echo("")
    terminal.table(pages.figures(found, "en"))


@app.command()
def tune(
    folder: SiteFolder,
    rule: Annotated[str, typer.Argument(metavar="RULE", help="which rule")],
    *,
    number: Annotated[
        str | None, typer.Option("--param", help="which parameter, or on_delay; else the most severe limit's")
    ] = None,
    value: Annotated[
        list[float] | None,
        typer.Option("--value", help="try this value; repeat it. Else a range found in the data"),
    ] = None,
    scenario: Annotated[
        list[str] | None, typer.Option(help="a fault of the simulated plant (`simulate list`); repeat it")
    ] = None,
    healthy: Annotated[float, typer.Option(help="with --scenario: days of healthy running beside it")] = 7.0,
    repeats: Annotated[int, typer.Option(min=1, help="with --scenario: so many variants of each")] = 3,
    csv: Annotated[
        list[Path] | None,
        typer.Option("--csv", metavar="FILE", help="a labelled recording of one asset; repeat it"),
    ] = None,
    faults: Annotated[
        Path | None,
        typer.Option(
            "--labels", metavar="FILE", help="over the site's store: its faults, as CSV with start and end"
        ),
    ] = None,
    start: From = "",
    end: To = "",
    asset: Annotated[
        str | None, typer.Option("--asset", help="on which; else the first that the rule watches")
    ] = None,
    report: ReportFolder = None,
    language: InLanguage = None,
) -> None:
    """The trade-off of one number of a rule: false alarms a day against delay and misses, and a proposal.

    Over labelled recordings or faults of the simulated plant. No rule is touched.
    """
    from tempfile import TemporaryDirectory

    from gateway.site import scoped
    from gateway.workbench import labels, stretch, terminal, tuning

    site = read_site(folder)
    if not (scenario or csv or faults):
        fail("tuning wants faults: --scenario bearing_wear (simulated), --csv or --labels FILE (labelled)", 2)
    with _one_line(), TemporaryDirectory(prefix="watchkeeper-tune-") as work, terminal.progress() as progress:
        tuned = stretch.as_live(site.rules, [rule])[rule]
        on = asset or next(iter(scoped(site, tuned.settings.scope)), "")
        asked = tuning.ask(site, tuned, on, number)
        lessons = labels.from_files(site, csv or [], asset)
        if faults:
            lessons.append(labels.from_stretch(on, stretch.open_stretch(site, [], None, start, end), faults))
        if scenario:
            progress("recording the simulated plant", 0.0)
            lessons += labels.from_plant(
                site, on, scenario, repeats=repeats, healthy_days=healthy, folder=Path(work)
            )
        answer = tuning.tune(site, asked, lessons, value or [], progress)
        if report is not None:
            _tell_of(tuning.write(report, answer, language or site.site.language))
    typer.echo(f"{asked.number} of rule {rule} on {on}, severity {asked.severity} and above, over:")
    typer.echo(f"{', '.join(answer.lessons)}\n")
    terminal.table(tuning.grid(answer, "en"))
    if answer.chosen is None:
        fail("\nno value finds any of the faults in time", 1)
    typer.echo(f"\nproposal:\n{answer.toml()}")
    for text in tuning.mind(site, answer):
        typer.echo(f"mind: {text}")


@app.command()
def diff(
    folder: SiteFolder,
    *,
    against: Annotated[
        Path | None,
        typer.Option(metavar="RULES", help="another rules.toml or site folder; else the rules in shadow"),
    ] = None,
    start: From = "",
    end: To = "",
    csv: CsvFiles = None,
    asset: OfAsset = None,
) -> None:
    """Which work orders differ between the live rules and those in shadow, or another rules.toml. Exit 1 if any."""
    from gateway.workbench import difference, stretch, terminal

    site = read_site(folder)
    steps = rule_steps(site)
    with _one_line(2), terminal.progress() as progress:
        others = difference.read_rules(against) if against else None
        played = stretch.open_stretch(site, csv or [], asset, start, end)
        found, same = difference.compare(site, played, others, steps, progress)
    terminal.table(difference.grid(found, against.name if against else "shadow"), "no work order differs")
    typer.echo(f"{len(found)} differ, {same} alike", err=True)
    if found:
        raise typer.Exit(1)


@app.command()
def packs(
    name: Annotated[
        str | None, typer.Argument(metavar="[PACK]", help="print this pack, to go into rules.toml")
    ] = None,
    table: Annotated[
        bool,
        typer.Option("--table", help="what each finds on the simulated plant, as Markdown (a minute or two)"),
    ] = False,
    kind: Annotated[
        list[str] | None, typer.Option(help="with --table: only these machines; repeat it")
    ] = None,
) -> None:
    """The starter rules: list them, print one, or see what they find and what they say of a healthy month."""
    from gateway.workbench import packs as shipped
    from gateway.workbench import terminal

    known = {pack.name: pack for pack in shipped.packs()}
    if name is not None:
        if name not in known:
            fail(f"no pack {name}; there are: {', '.join(known)}", 2)
        typer.echo((shipped.FOLDER / f"{name}.toml").read_text(encoding="utf-8"), nl=False)
    elif table:
        with _one_line(), terminal.progress() as progress:
            found = shipped.table(kind or [], progress)
        typer.echo(shipped.markdown(found))
    else:
        for pack in known.values():
            typer.echo(f"{pack.name:20} {', '.join(rule.id for rule in pack.rules)}")


@contextmanager
def _one_line(code: int = 1) -> Iterator[None]:
    """What a user can mend ends in one line and exit ``code``."""
    from gateway.store import StoreError
    from gateway.workbench.recorded import PastError
    from rules import RuleError

    try:
        yield
    except (PastError, RuleError, StoreError) as error:
        fail(str(error), code)
    except OSError as error:
        fail(f"{error.filename} cannot be written: {error.strerror}", code)


def _tell_of(page: Path) -> None:
    from gateway import picture

    typer.echo(f"report: {page}", err=True)
    if not picture.available():
        typer.echo(picture.WANTED, err=True)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        fail(f"{path} cannot be written: {error.strerror}", 1)
