"""Networks that fail: temporary errors are waited for, lasting ones reported, nothing is left half
done.
"""

import errno
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from helpers import hub
from strata.data.task import read_examples
from strata.runtime.errors import StrataError
from strata.sources import hub as downloads
from strata.sources.fetch_model import fetch_model
from strata.sources.fetch_task import fetch_task

TASK = {
    "source": "hub:me/films",
    "type": "classification",
    "texts": ["text"],
    "label": "label",
    "labels": ["no", "yes"],
    "splits": {"train": "train", "eval": "dev"},
    "metric": "accuracy",
}
LISTING = "/revision/main"


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A hub that stalls for no more than half a second, and whose files come in small pieces."""
    from huggingface_hub import constants, file_download

    with hub.serving() as running:
        hub.point_to(running.url, tmp_path / "home", monkeypatch)
        monkeypatch.setattr(downloads, "RETRY_SECONDS", 60)
        for name in ("HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT"):
            monkeypatch.setattr(constants, name, 0.5)
        monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 512)
        # A second each time that it resumes.
        monkeypatch.setattr(file_download, "time", SimpleNamespace(sleep=lambda seconds: None))
        yield running


@dataclass
class Wanted:
    """A repository of the hub and how it is fetched.

    Attributes
    ----------
    place : str
        The source's folder.
    file, small : str
        A large file of it, and one that git itself keeps.
    fetch : callable
        Fetches it into a folder.
    whole : callable
        Whether all of it is there.
    """

    name: str
    commit: str
    place: Path
    file: str
    small: str
    fetch: Callable[[Path], object]
    whole: Callable[[Path], bool]


@pytest.fixture(params=["model", "task"])
def wanted(request, served, saved, tmp_path) -> Wanted:
    place = tmp_path / "place"
    if request.param == "model":
        place.mkdir()
        for file in saved.iterdir():
            (place / file.name).write_bytes(file.read_bytes())
        files = {file.name: file.read_bytes() for file in saved.iterdir()}
        return Wanted(
            "model 'mine'",
            served.add("models", "me/films", place),
            place,
            "model.safetensors",
            "config.json",
            lambda folder: fetch_model("mine", {"source": "hub:me/films"}, folder),
            lambda folder: all((folder / f).read_bytes() == files[f] for f in files),
        )
    hub.dataset(place, "films", ("train", "dev"), named=True)
    return Wanted(
        "task 'mine'",
        served.add("datasets", "me/films", place),
        place,
        "films/train-00000.parquet",
        "README.md",
        lambda folder: fetch_task("mine", TASK, folder),
        lambda folder: texts(folder) == ["films train 0", "films train 1"],
    )


def texts(folder: Path) -> list[str]:
    return read_examples(folder / "train.parquet")["text_a"].tolist()


def refused(wanted: Wanted, target: Path) -> str:
    """The sentence of a refusal that comes soon and leaves nothing behind."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(StrataError) as caught:
        patch.setattr(downloads, "RETRY_SECONDS", 1)
        begun = time.monotonic()
        wanted.fetch(target)
    assert time.monotonic() - begun < 20
    assert not list(target.parent.iterdir())
    assert "\n" not in str(caught.value) and str(caught.value).startswith(f"The {wanted.name}")
    return str(caught.value)


def cached(home: Path) -> list[str]:
    """Files of the hub's cache under their final names."""
    return [f.name for f in (home / "hub").glob("*/snapshots/*/**/*") if not f.is_dir()]


@pytest.mark.parametrize(
    ("where", "kind", "details"),
    [
        ("listing", "status", {}),
        ("listing", "status", {"status": 500}),
        ("listing", "status", {"status": 429}),
        ("listing", "cut", {}),
        ("listing", "stall", {}),
        ("listing", "silence", {}),
        ("head", "status", {}),
        ("head", "status", {"status": 502}),
        ("head", "silence", {}),
        ("file", "status", {}),
        ("file", "status", {"status": 504}),
        ("file", "cut", {}),
        ("file", "stall", {}),
        ("file", "silence", {}),
    ],
)
def test_fault_that_passes_is_waited_for(served, wanted, tmp_path, where, kind, details):
    suffix = LISTING if where == "listing" else wanted.file
    details = details | {"method": "HEAD" if where == "head" else "GET"}
    served.fail(suffix, kind, times=2, **details)
    wanted.fetch(tmp_path / "data" / "mine")
    assert wanted.whole(tmp_path / "data" / "mine")
    assert len(served.injected) == 2
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["mine"]


@pytest.mark.parametrize("where", ["listing", "file"])
@pytest.mark.parametrize("status", [429, 503])
def test_hub_that_asks_for_time_gets_it(served, wanted, tmp_path, where, status):
    suffix = LISTING if where == "listing" else wanted.file
    served.fail(suffix, "status", status=status, headers={"Retry-After": "1"})
    begun = time.monotonic()
    wanted.fetch(tmp_path / "mine")
    assert time.monotonic() - begun >= 1
    assert wanted.whole(tmp_path / "mine") and len(served.injected) == 1


def test_limit_of_requests_is_waited_out(served, wanted, tmp_path):
    """As the hub itself says it: not with Retry-After, but with what is left of a limit."""
    limit = {"RateLimit": '"api";r=0;t=1'}
    served.fail(LISTING, "status", status=429, headers=limit)
    begun = time.monotonic()
    wanted.fetch(tmp_path / "mine")
    assert time.monotonic() - begun >= 1 and len(served.injected) == 1


@pytest.mark.parametrize("kind", ["cut", "stall"])
def test_interrupted_file_is_resumed(served, wanted, tmp_path, kind):
    """Where it stopped, but for the piece of 512 bytes that was not whole."""
    served.fail(wanted.file, kind, times=3)
    wanted.fetch(tmp_path / "mine")
    size = (wanted.place / wanted.file).stat().st_size
    starts = [int(span.removeprefix("bytes=").rstrip("-")) for span in served.ranges]
    assert len(starts) == 3
    assert all(
        s > size * share - 512 for s, share in zip(starts, (1 / 2, 3 / 4, 7 / 8), strict=True)
    )
    assert wanted.whole(tmp_path / "mine")


@pytest.mark.parametrize("kind", ["flip", "short", "swap"])
def test_damaged_file_is_fetched_again(served, wanted, tmp_path, kind):
    served.fail(wanted.file, kind)
    wanted.fetch(tmp_path / "mine")
    assert wanted.whole(tmp_path / "mine")
    gets = [request for request in served.asked_for(wanted.file) if request.startswith("GET")]
    assert len(gets) == 2


def test_small_files_are_checked_too(served, wanted, tmp_path):
    served.fail(wanted.small, "flip", times=hub.ALWAYS)
    message = refused(wanted, tmp_path / "data" / "mine")
    assert f"{wanted.small} of me/films arrived damaged twice" in message


@pytest.mark.parametrize("kind", ["flip", "short", "swap"])
def test_file_that_stays_damaged_is_refused(served, wanted, tmp_path, kind):
    """It is in no cache either, under which a later study would find it."""
    served.fail(wanted.file, kind, times=hub.ALWAYS)
    message = refused(wanted, tmp_path / "data" / "mine")
    assert message == (
        f"The {wanted.name}: {wanted.file} of me/films arrived damaged twice: it is not the file "
        f"that the hub lists for commit {wanted.commit}; try again later, or download it elsewhere "
        "and give its folder as 'source: path:...'."
    )
    assert Path(wanted.file).name not in cached(tmp_path / "home")
    assert len(served.injected) == 2


@pytest.mark.parametrize(
    ("where", "kind", "reason"),
    [
        ("listing", "status", "503 Service Unavailable"),
        ("listing", "cut", "RemoteProtocolError"),
        ("listing", "stall", "ReadTimeout"),
        ("listing", "silence", "ReadTimeout"),
        ("head", "status", "503 Service Unavailable"),
        ("head", "silence", "ReadTimeout"),
        ("file", "status", "503 Service Unavailable"),
        ("file", "silence", "ReadTimeout"),
    ],
)
def test_fault_that_lasts_ends_in_a_sentence(served, wanted, tmp_path, where, kind, reason):
    suffix = LISTING if where == "listing" else wanted.file
    method = "HEAD" if where == "head" else "GET"
    served.fail(suffix, kind, times=hub.ALWAYS, method=method)
    assert refused(wanted, tmp_path / "data" / "mine") == (
        f"The {wanted.name}: the hub cannot be reached for me/films ({reason}); check the network "
        "or HF_ENDPOINT, or download it elsewhere and give its folder as 'source: path:...'."
    )
    assert len(served.injected) >= 2
    assert Path(wanted.file).name not in cached(tmp_path / "home")


def test_large_file_storage_that_fails_ends_in_a_sentence(served, wanted, tmp_path, monkeypatch):
    """It is another service, with a library that tries again by itself and then says this."""

    def fail(*_, **__):
        raise RuntimeError("Task error: File reconstruction error: CAS Client Error")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fail)
    message = refused(wanted, tmp_path / "data" / "mine")
    assert "the hub cannot be reached for me/films (ConnectionError); check the network" in message


@pytest.mark.parametrize("headers", [{"Retry-After": "3600"}, {"RateLimit": '"api";r=0;t=3600'}])
def test_hub_that_asks_for_more_time_than_there_is_is_given_up(served, wanted, tmp_path, headers):
    served.fail(LISTING, "status", status=429, headers=headers, times=hub.ALWAYS)
    assert refused(wanted, tmp_path / "data" / "mine") == (
        f"The {wanted.name}: the hub received too many requests and does not answer for me/films "
        "(429 Too Many Requests); try again in 3600 seconds, or log in with 'hf auth login', which "
        "allows more."
    )
    assert len(served.injected) == 1


@pytest.mark.parametrize("where", ["listing", "head"])
@pytest.mark.parametrize(
    ("status", "code", "sentence"),
    [
        (401, "GatedRepo", " (me/films) is gated: ask for access on its page, then log in with"),
        (403, "GatedRepo", " (me/films) is gated: ask for access on its page, then log in with"),
        (401, "RepoNotFound", ": the hub has no repository me/films, or it is private: correct"),
        (401, "", ": the hub refuses access to me/films (401 Unauthorized); log in with 'hf auth"),
        (403, "", ": the hub refuses access to me/films (403 Forbidden); log in with 'hf auth"),
        (404, "RevisionNotFound", ": me/films has no revision 'main'; correct 'revision' (a"),
        (404, "EntryNotFound", ": me/films at main has no file /"),
    ],
)
def test_what_the_hub_denies_is_asked_for_once(
    served, wanted, tmp_path, where, status, code, sentence
):
    suffix = LISTING if where == "listing" else wanted.file
    method, headers = "HEAD" if where == "head" else "GET", {"X-Error-Code": code} if code else {}
    served.fail(suffix, "status", status=status, headers=headers, method=method, times=hub.ALWAYS)
    message = refused(wanted, tmp_path / "data" / "mine")
    assert message.startswith(f"The {wanted.name}{sentence}")
    assert len(served.injected) == 1


def test_commit_that_changes_between_two_fetches_is_refused(served, wanted, tmp_path):
    """The second hub lists another file for the same commit; the first one's is in the cache."""
    wanted.fetch(tmp_path / "data" / "mine")
    (tmp_path / "data" / "mine").rename(tmp_path / "first")
    file = wanted.place / wanted.file
    file.write_bytes(file.read_bytes()[::-1])
    message = refused(wanted, tmp_path / "data" / "mine")
    assert message.startswith(
        f"The {wanted.name}: {wanted.file} of me/films was a different file when commit "
        f"{wanted.commit} was fetched before, but a commit should never change; pin another "
    )
    assert wanted.whole(tmp_path / "first")


def test_file_that_was_damaged_in_the_cache_is_fetched_again(served, wanted, tmp_path):
    wanted.fetch(tmp_path / "first")
    blob = next((tmp_path / "home" / "hub").rglob(Path(wanted.file).name)).resolve()
    blob.write_bytes(b"damaged")
    wanted.fetch(tmp_path / "second")
    assert wanted.whole(tmp_path / "second")
    assert blob.read_bytes() == (wanted.place / wanted.file).read_bytes()


def test_full_disk_is_not_the_hubs_fault(wanted, tmp_path, monkeypatch):
    def write(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", write)
    with pytest.raises(OSError, match="No space left"):
        wanted.fetch(tmp_path / "data" / "mine")
    assert not list((tmp_path / "data").iterdir())


def test_file_of_an_earlier_commit_is_not_downloaded_again(served, wanted, tmp_path):
    wanted.fetch(tmp_path / "first")
    kind = "models" if wanted.name.startswith("model") else "datasets"
    before = len(served.asked_for(wanted.file))
    (wanted.place / "LICENSE").write_text("new")
    assert served.add(kind, "me/films", wanted.place) != wanted.commit
    wanted.fetch(tmp_path / "second")
    assert wanted.whole(tmp_path / "second")
    assert len(served.asked_for(wanted.file)) == before


KILLED = """
import sys, pytest
from pathlib import Path
from helpers import hub
from strata.sources.fetch_model import fetch_model
hub.point_to(sys.argv[1], Path(sys.argv[2]), pytest.MonkeyPatch())
fetch_model("mine", {"source": "hub:me/films"}, sys.argv[3])
"""


def test_fetch_that_was_killed_leaves_nothing_that_the_next_one_does_not_remove(
    served, saved, tmp_path, monkeypatch
):
    served.add("models", "me/films", saved)
    served.fail("model.safetensors", "stall")
    target, other = tmp_path / "data" / "mine", tmp_path / "data" / ".mine-2.x.partial"
    other.mkdir(parents=True)
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    arguments = [served.url, str(tmp_path / "home"), str(target)]
    fetching = subprocess.Popen([sys.executable, "-c", KILLED, *arguments])
    deadline = time.monotonic() + 60
    while not served.injected and time.monotonic() < deadline:
        time.sleep(0.05)
    fetching.send_signal(signal.SIGKILL)
    fetching.wait()
    left = {path.name for path in target.parent.iterdir()} - {other.name}
    assert len(left) == 1 and left.pop().startswith(".mine.")
    assert "model.safetensors" not in cached(tmp_path / "home")
    fetch_model("mine", {"source": "hub:me/films"}, target)
    # What another fetch is busy with stays.
    assert {path.name for path in target.parent.iterdir()} == {"mine", other.name}
