"""Files inside archives: wheels (zip) and source archives (tar), nested if need be."""

import io
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Self

from strata.runtime.errors import StrataError

# An archive may unpack to this many times its size or to this many bytes, whichever is more: texts
# compress to a tenth of their size and weights hardly at all, a bomb to a thousandth.
MAX_EXPANSION = 100
MAX_SMALL_ARCHIVE_BYTES = 2**27
READ_WHOLE = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
# What archive readers raise for a damaged archive.
DAMAGED = (
    EOFError,
    NotImplementedError,
    OSError,
    RuntimeError,
    ValueError,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)


def members(archive: str, data: bytes, wanted: str) -> Iterator[tuple[str, bytes]]:
    """Files of an archive at the path `wanted` or, if that ends in "/", below it.

    A path continues inside nested archives: ``a.tar.gz/b.txt`` is b.txt in a.tar.gz. The version
    folder at the top of a source archive may be left out. Nothing is unpacked to disk by name, so
    no member can end up outside its place; paths with "..", links and devices are skipped.
    """
    try:
        for path, read in _entries(archive, data):
            if path.startswith("/") or ".." in path.split("/"):
                continue  # only the version folder may be left out
            options = {path, path.partition("/")[2]}
            for option in filter(None, options):
                if option == wanted or (wanted.endswith("/") and option.startswith(wanted)):
                    yield wanted + option.removeprefix(wanted), read()
                    break
                if wanted.startswith(option + "/"):
                    yield from (
                        (f"{option}/{inner}", content)
                        for inner, content in members(option, read(), wanted[len(option) + 1 :])
                    )
                    break
    except DAMAGED as error:
        raise StrataError(
            f"{archive} is damaged ({type(error).__name__}: {error}); download it again."
        ) from error


def _entries(archive: str, data: bytes) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Paths of an archive's regular files, and how to read each."""
    room = max(MAX_SMALL_ARCHIVE_BYTES, MAX_EXPANSION * len(data))
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as unzipped:
            _refuse_bomb(archive, sum(e.file_size for e in unzipped.infolist()), room)
            for entry in unzipped.infolist():
                if not (entry.is_dir() or stat.S_ISLNK(entry.external_attr >> 16)):
                    yield entry.filename, partial(_unzip, unzipped, entry)
        return
    try:
        tar = tarfile.open(fileobj=io.BytesIO(data), tarinfo=_Member)  # noqa: SIM115
    except tarfile.TarError as error:
        raise StrataError(f"{archive} is neither a zip (wheel) nor a tar archive.") from error
    with tar:
        for member in tar:
            # Its position counts, too: everything before a member is decompressed on the way to it.
            _refuse_bomb(archive, member.offset_data + member.size, room)
            if member.isfile():
                yield member.name, partial(_untar, tar, member)


def _unzip(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    with archive.open(entry) as file:
        return file.read(entry.file_size)  # at most the stated size: the member may hold more


def _untar(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    assert file is not None  # of a regular file
    return file.read()


class _Member(tarfile.TarInfo):
    """A tar header; refuses long ones for names and the like, which tarfile reads whole."""

    @classmethod
    def frombuf(cls, *arguments: Any) -> Self:
        member = super().frombuf(*arguments)
        if member.type in READ_WHOLE and member.size > 2**20:
            raise tarfile.ReadError(f"a header of {member.size:,} bytes")
        return member


def _refuse_bomb(archive: str, size: int, room: int) -> None:
    if size > room:
        raise StrataError(
            f"{archive} is refused: it unpacks to {size:,} bytes or more, but archives of its size "
            f"may have at most {room:,}; unpack it yourself and give the folder as 'source: "
            "path:...'."
        )
