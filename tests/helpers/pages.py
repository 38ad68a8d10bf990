"""The pages that people read: README.md, the other Markdown files, and docs/."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def markdown_files() -> list[Path]:
    """Every Markdown file of the repository, but for what is downloaded, installed or made."""
    made = {"results", "data"}
    folders = [
        path
        for path in REPOSITORY.iterdir()
        if path.is_dir() and not path.name.startswith(".") and path.name not in made
    ]
    inside = [path for folder in folders for path in folder.rglob("*.md")]
    return sorted([*REPOSITORY.glob("*.md"), REPOSITORY / "data" / "README.md", *inside])


def pages() -> list[Path]:
    """README.md and the pages of docs/."""
    return [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]


def block(language: str, page: Path) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def commands(program: str, of: list[Path] | None = None) -> list[str]:
    """The command lines that call a program, without their comments; of all `pages` if None."""
    parts = [part for page in of or pages() for part in block("bash", page)]
    lines = [line for part in parts for line in part.splitlines()]
    found = {line.split("#")[0].strip() for line in lines}
    return sorted(line for line in found if line.split(" ")[0] == program)
