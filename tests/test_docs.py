"""What the documents say is there: links lead somewhere, commands and targets exist, examples are right."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer

from gateway.commands import app
from gateway.config import load_site

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")], key=str)
COMMANDS = typer.main.get_command(app)
PLACEHOLDER = re.compile(r"[A-Z<\[{|…./*\"'-].*|\d.*")


def parts(text: str) -> tuple[str, list[tuple[str, str]]]:
    """The prose of a document, and its code blocks with their language."""
    found = re.split(r"^```(.*)$", text, flags=re.MULTILINE)
    return "\n".join(found[0::4]), list(zip(found[1::4], found[2::4], strict=True))


def said(text: str, program: str) -> Iterator[list[str]]:
    """The words after ``program`` wherever it is called in code, up to the end of the code, the line or the call."""
    prose, blocks = parts(text)
    code = [
        *re.findall(r"`([^`\n]+)`", prose),
        *(body for language, body in blocks if language in {"", "sh"}),
    ]
    for found in re.findall(rf"(?:^|[\s/]){program} ([^\n#;&|]*)", "\n".join(code)):
        yield found.split()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", parts(path.read_text())[0])
    lost = [
        link
        for link in links
        if not link.startswith(("http", "#", "mailto"))
        and not (path.parent / link.partition("#")[0]).exists()
    ]
    assert lost == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_commands_that_are_named_exist(path: Path) -> None:
    lost = []
    for words in said(path.read_text(), "watchkeeper"):
        command: click.Command = COMMANDS
        for word in words:
            if not isinstance(command, click.Group) or PLACEHOLDER.fullmatch(word):
                break
            if word not in command.commands:
                lost.append(" ".join(words))
                break
            command = command.commands[word]
    assert lost == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_targets_that_are_named_exist(path: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z0-9 -]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    known = {target for line in targets for target in line.split()}
    lost = [
        words[0]
        for words in said(path.read_text(), "make")
        if words and not PLACEHOLDER.fullmatch(words[0]) and words[0] not in known
    ]
    assert lost == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_toml_examples_can_be_read(path: Path) -> None:
    for language, body in parts(path.read_text())[1]:
        if language == "toml":
            tomllib.loads(body)


@pytest.mark.parametrize("site", sorted(path.parent for path in ROOT.glob("examples/*/site.toml")), ids=str)
def test_example_sites_are_right(site: Path) -> None:
    assert load_site(site).rules


def test_both_readmes_have_the_same_parts() -> None:
    heads = [
        re.findall(r"^#+", parts((ROOT / name).read_text())[0], re.MULTILINE)
        for name in ("README.md", "README.zh.md")
    ]
    assert heads[0] == heads[1]
