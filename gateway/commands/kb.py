"""`kb …`: the knowledge base, what it suggests and how often that was right."""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from gateway.commands.options import (
    AsJson,
    AsPerson,
    AtSite,
    acting,
    desk_of,
    fail,
    now_ms,
    refusals,
    staffed,
)

app = typer.Typer(
    help="The knowledge base: articles in two languages, what they suggest, how often it helped.",
    no_args_is_help=True,
)
KEYS = (
    "asset_class",
    "failure_mode",
    "title_zh",
    "title_en",
    "body_zh",
    "body_en",
    "model",
    "mechanism",
    "remedy",
)


@app.command("list")
def kb_list(
    search: Annotated[
        str, typer.Argument(metavar="[WORDS]", help="in Chinese or English: the best first")
    ] = "",
    status: Annotated[str | None, typer.Option(help="draft, published or retired")] = None,
    asset_class: Annotated[str | None, typer.Option("--class", help="of this class of assets")] = None,
    site: AtSite = None,
    as_json: AsJson = False,
) -> None:
    """The articles, or those that fit some words."""
    from gateway import show

    with desk_of(site).read() as read:
        found = (
            read.search_articles(search) if search else read.articles(status=status, asset_class=asset_class)
        )
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found], ensure_ascii=False, indent=2))
        return
    rows = [
        (a.id, a.status, a.version, a.asset_class, a.failure_mode, f"{a.title_zh} · {a.title_en}")
        for a in found
    ]
    show.table(("id", "status", "version", "class", "failure mode", "title"), rows, "no article matches")


@app.command("show")
def kb_show(article: str, site: AtSite = None, as_json: AsJson = False) -> None:
    """One article with all its versions."""
    from gateway import show

    with refusals(), desk_of(site).read() as read:
        found, versions = read.article(article), read.article_versions(article)
    if as_json:
        body = {**asdict(found), "versions": [asdict(each) for each in versions]}
        typer.echo(json.dumps(body, ensure_ascii=False, indent=2))
        return
    typer.echo(f"{found.id}  {found.status}  {found.asset_class} {found.model} {found.failure_mode}")
    typer.echo(f"{found.mechanism or ''} → {found.remedy or ''}")
    for title, text in ((found.title_zh, found.body_zh), (found.title_en, found.body_en)):
        if title:
            typer.echo(f"\n{title}\n{text}")
    typer.echo()
    show.table(
        ("version", "when", "who", "why"),
        [(each.version, show.when(each.at), each.author, each.reason) for each in versions],
    )


@app.command("add")
def kb_add(
    file: Annotated[
        Path, typer.Argument(help=f"TOML with {', '.join(KEYS)}; with `id`, the next version of that")
    ],
    reason: Annotated[str, typer.Option(help="why it is written")] = "written by command",
    publish: Annotated[bool, typer.Option("--publish", help="publish it at once")] = False,
    person: AsPerson = None,
    site: AtSite = None,
) -> None:
    """A new article, or with an `id` the next version of one; prints its id."""
    from ticketing import Article

    try:
        given = tomllib.loads(file.read_text())
    except (OSError, ValueError) as error:
        fail(f"{file}: {error}", 2)
    if unknown := sorted(given.keys() - {*KEYS, "id"}):
        fail(f"{file}: an article has no {', '.join(unknown)}; it has {', '.join(KEYS)}", 2)
    if missing := sorted({"asset_class", "failure_mode"} - given.keys()):
        fail(f"{file}: {', '.join(missing)} is missing", 2)
    desk = staffed(site)
    actor = acting(desk, person)
    with refusals(), desk.transaction() as tx:
        version = tx.article(given["id"]).version if "id" in given else 0
        kept = tx.save_article(actor, Article(**given, version=version), at=now_ms(), reason=reason)
        if publish:
            kept = tx.set_article_status(actor, kept.id, kept.version, "published", at=now_ms())
    typer.echo(f"{kept.id} {kept.status}, version {kept.version}")


@app.command("status")
def kb_status(
    article: str,
    status: Annotated[str, typer.Argument(help="published or retired")],
    person: AsPerson = None,
    site: AtSite = None,
) -> None:
    """Publish an article, or retire it."""
    desk = staffed(site)
    actor = acting(desk, person)
    with refusals(), desk.transaction() as tx:
        kept = tx.set_article_status(actor, article, tx.article(article).version, status, at=now_ms())
    typer.echo(f"{kept.id} {kept.status}, version {kept.version}")


@app.command("rank")
def kb_rank(number: str, site: AtSite = None, as_json: AsJson = False) -> None:
    """What would be suggested on a work order now, and what each reason adds."""
    from gateway import show

    with refusals(), desk_of(site).read() as read:
        found = read.suggestions(number, now_ms())
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found], ensure_ascii=False, indent=2))
        return
    rows = [
        (each.kind, each.ref, f"{each.score:g}", f"{each.title_zh} · {each.title_en}", _reasons(each.reasons))
        for each in found
    ]
    show.table(
        ("kind", "what", "score", "title", "because"), rows, "nothing fits: no fix that held, no article"
    )


def _reasons(reasons: object) -> str:
    assert isinstance(reasons, dict)
    return ", ".join(f"{name.replace('_', ' ')} {value:+g}" for name, value in reasons.items())


@app.command("eval")
def kb_eval(
    limit: Annotated[int, typer.Option(help="the newest so many closed orders")] = 1000,
    site: AtSite = None,
    as_json: AsJson = False,
) -> None:
    """hit@3: was the repair that worked among the first three suggestions? Asked again of closed orders."""
    from gateway import show
    from ticketing.knowledge.evaluation import evaluate

    with desk_of(site).read() as read:
        found = evaluate(read, limit=limit)
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2))
        return
    if not found.together.asked:
        fail("no closed order has a failure mode, a mechanism and a remedy yet: nothing to ask", 1)
    lists = [("three fixes", found.fixes), ("three articles", found.articles), ("either", found.together)]
    scores = [*lists, *sorted(found.by_failure_mode.items())]
    show.table(
        ("shown, or failure mode", "hit@3", "asked", "hits", "without suggestion"),
        [(name, f"{each.share:.1f} %", each.asked, each.hits, each.silent) for name, each in scores],
    )
