"""What people read is short enough, linked without gaps, and names what there is."""

import re
import shlex
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from helpers.pages import REPOSITORY, commands, markdown_files

LONGEST_README = 200  # lines
CAPTIONS = sorted((REPOSITORY / "report").glob("*.rst"))
# Where comments, messages and descriptions send their readers to pages.
POINTING = (
    "Makefile",
    "config.yaml",
    "profiles",
    "rules",
    "schemas",
    "studies",
    "tests",
    "workflow_scripts",
)


def prose(page: Path) -> str:
    """A page without code, in which nothing is a link or a heading."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`", lambda code: code[0].replace("[", "").replace("]", ""), text)


def links(page: Path) -> list[str]:
    """Those to other files of the repository, and to other places of the page."""
    pattern = r"`[^`<]*<([^>`]+)>`_" if page.suffix == ".rst" else r"\]\(([^)\s]+)\)"
    return [link for link in re.findall(pattern, prose(page)) if not re.match(r"[a-z]+:", link)]


def anchors(page: Path) -> set[str]:
    """What a forge calls the headings of a page."""
    met: Counter[str] = Counter()
    names = set()
    for heading in re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE):
        shown = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        name = re.sub(r"[^\w\- ]", "", shown).replace(" ", "-")
        names.add(f"{name}-{met[name]}" if met[name] else name)
        met[name] += 1
    return names


def dead(link: str, page: Path) -> bool:
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    return not target.exists() or bool(anchor and anchor not in anchors(target))


@pytest.mark.parametrize("page", [*markdown_files(), *CAPTIONS], ids=lambda page: page.name)
def test_no_link_is_dead(page):
    assert [link for link in links(page) if dead(link, page)] == []


def test_every_page_is_reached_from_the_readme():
    reached, new = set(), {REPOSITORY / "README.md"}
    while new:
        page = new.pop()
        reached.add(page)
        targets = {(page.parent / link.split("#")[0]).resolve() for link in links(page)}
        new |= {target for target in targets if target.suffix == ".md"} - reached
    assert len(reached) > 20 and set(markdown_files()) <= reached


def test_the_readme_is_short():
    assert len((REPOSITORY / "README.md").read_text().splitlines()) <= LONGEST_README


def test_pages_that_code_and_settings_name_are_there():
    places = [REPOSITORY / name for name in POINTING]
    files = [path for place in places for path in (place.rglob("*") if place.is_dir() else [place])]
    kinds = (".py", ".smk", ".yaml", "")
    texts = [path.read_text() for path in files if path.is_file() and path.suffix in kinds]
    named = {name for text in texts for name in re.findall(r"docs/\w+\.md", text)}
    assert len(named) > 3
    assert {name for name in named if not (REPOSITORY / name).is_file()} == set()


@pytest.mark.parametrize("command", commands("make", markdown_files()))
def test_a_documented_make_command_has_its_target(command):
    done = subprocess.run(
        [*shlex.split(command), "--dry-run"],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
    )
    assert done.returncode == 0, done.stderr
