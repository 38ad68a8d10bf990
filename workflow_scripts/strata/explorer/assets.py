"""The page's own files that are no Python: template, style, and the JavaScript between them."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

FOLDER = Path(__file__).parent
NAMES = ("page.html", "page.css", "glue.js")


@dataclass(frozen=True)
class Assets:
    """The files' texts."""

    page: str
    css: str
    glue: str


def read_assets() -> Assets:
    """The files, read."""
    return Assets(*((FOLDER / name).read_text(encoding="utf-8") for name in NAMES))


def assets_version() -> str:
    """A hash of the files: the page is made again when one was edited, and not when it moved."""
    return sha256(b"".join((FOLDER / name).read_bytes() for name in NAMES)).hexdigest()
