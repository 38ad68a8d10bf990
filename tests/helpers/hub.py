"""A Hugging Face hub on this machine: enough of its HTTP interface to fetch from, nothing more.

Repositories are folders. Requests are kept in ``Hub.requests``, so a test can check what was never
downloaded. It fails as planned (``Hub.fail``).
"""

import hashlib
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pandas as pd

API = re.compile(
    r"/api/(?P<kind>models|datasets)/(?P<repo>[^/]+/[^/]+)"
    r"(?:/revision/(?P<revision>[^/]+))?"
)
FILE = re.compile(
    r"/(?P<kind>datasets/)?(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)"
)


LARGE = (".bin", ".parquet", ".safetensors")  # kept by Git LFS, which hashes them by SHA-256
ALWAYS = 10**6


@dataclass
class Fault:
    """What goes wrong with requests of one method and path ending, and how often.

    Attributes
    ----------
    kind : str
        "status" (answer with `status`), "cut" or "stall" (after half of the body), "silence" (no
        answer at all), "short" (a complete answer without its end), "flip" (a wrong byte), "swap"
        (another file, with its own ETag).
    headers : mapping of str to str
        Headers of a "status", such as Retry-After or X-Error-Code.
    times : int
        The number of requests that are still to fail.
    """

    suffix: str
    kind: str
    method: str = "GET"
    status: int = 503
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1


class Hub:
    """Repositories, a log of requests, and faults.

    Attributes
    ----------
    url : str
        The value for HF_ENDPOINT.
    requests : list of str
        "METHOD path" of every request, unquoted, in order.
    ranges : list of str
        The Range of every request that has one.
    injected : list of Fault
        The fault of every request that met one.
    """

    def __init__(self):
        self.repos: dict[tuple[str, str], dict[str, tuple[str, Path]]] = {}
        self.requests: list[str] = []
        self.ranges: list[str] = []
        self.faults: list[Fault] = []
        self.injected: list[Fault] = []
        self.closing = threading.Event()
        self.stop: Callable[[], None] | None = None
        self.url = ""

    def fail(self, suffix: str, kind: str, **details) -> None:
        """Plan a fault; see `Fault`. Faults for the same request come one after the other."""
        self.faults.append(Fault(suffix, kind, **details))

    def fault(self, method: str, path: str) -> Fault | None:
        """The fault that a request meets."""
        for fault in self.faults:
            if fault.times and fault.method == method and path.endswith(fault.suffix):
                fault.times -= 1
                self.injected.append(fault)
                return fault
        return None

    def add(self, kind: str, repo: str, folder: Path, revision: str = "main") -> str:
        """Serve `folder` as `repo` ("models" or "datasets"); returns its commit.

        Added again after a change, it is another commit; otherwise the change is not listed.
        """
        listing = [listed(folder, file) for file in files(folder)]
        commit = hashlib.sha1(f"{kind} {repo} {revision} {listing}".encode()).hexdigest()
        revisions = self.repos.setdefault((kind, repo), {})
        revisions[revision] = revisions[commit] = commit, Path(folder)
        return commit

    def asked_for(self, suffix: str) -> list[str]:
        """Requests for files with this ending, including HEAD requests."""
        return [r for r in self.requests if "/resolve/" in r and r.endswith(suffix)]


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_HEAD(self):
            self.do_GET()

        def do_GET(self):
            path = unquote(urlsplit(self.path).path)
            hub.requests.append(f"{self.command} {path}")
            hub.ranges += [self.headers["Range"]] if self.headers["Range"] else []
            self.fault = hub.fault(self.command, path)
            if self.meets("silence"):
                return self.hang()
            if self.meets("status"):
                return self.send({"error": "fault"}, self.fault.status, self.fault.headers)
            return self.answer()

        def meets(self, kind: str) -> bool:
            return self.fault is not None and self.fault.kind == kind

        def hang(self):
            hub.closing.wait()
            self.close_connection = True

        def answer(self):
            path = urlsplit(self.path).path
            match = API.fullmatch(path) or FILE.fullmatch(path)
            if match is None:
                return self.refuse("EntryNotFound")
            part = {key: unquote(value or "") for key, value in match.groupdict().items()}
            kind = "models" if part["kind"] in ("", "models") else "datasets"
            revision = part["revision"] or "main"
            if (kind, part["repo"]) not in hub.repos:
                return self.refuse("RepoNotFound")
            if revision not in hub.repos[kind, part["repo"]]:
                return self.refuse("RevisionNotFound")
            commit, folder = hub.repos[kind, part["repo"]][revision]
            if match.re is FILE:
                return self.file(folder / part["path"], commit)
            siblings = [listed(folder, file) for file in files(folder)]
            return self.send({"id": part["repo"], "sha": commit, "siblings": siblings,
                              "private": False, "gated": False, "tags": []})  # fmt: skip

        def file(self, path: Path, commit: str):
            if not path.is_file():
                return self.refuse("EntryNotFound", {"X-Repo-Commit": commit})
            data, status, headers = path.read_bytes(), 200, {"Accept-Ranges": "bytes"}
            if self.meets("swap"):
                data = data[::-1]
            headers |= {"X-Repo-Commit": commit, "ETag": f'"{etag(path, data)}"'}
            if self.meets("flip"):
                data = data[:-1] + bytes([data[-1] ^ 1])
            if self.meets("short"):
                data = data[:-10]
            if span := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
                first, last = int(span[1]), int(span[2] or len(data) - 1)
                headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
                data, status = data[first : last + 1], 206
            return self.send(data, status, headers)

        def refuse(self, code: str, headers: dict | None = None):
            return self.send({"error": code}, 404, {"X-Error-Code": code, **(headers or {})})

        def send(self, content, status: int = 200, headers: dict | None = None):
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for key, value in (headers or {}).items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.meets("cut") or self.meets("stall"):
                self.wfile.write(data[: len(data) // 2])
                self.close_connection = True
                return self.hang() if self.meets("stall") else None
            if self.command != "HEAD":
                self.wfile.write(data)

    return Handler


def etag(path: Path, data: bytes) -> str:
    """The hash by which the hub identifies a file's contents."""
    if path.suffix in LARGE:
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def listed(folder: Path, path: Path) -> dict:
    """A file's entry in the listing of a commit."""
    data = path.read_bytes()
    entry = {"rfilename": path.relative_to(folder).as_posix(), "size": len(data)}
    if path.suffix in LARGE:
        large = {"size": len(data), "sha256": etag(path, data), "pointerSize": 130}
        return entry | {"blobId": "0" * 40, "lfs": large}
    return entry | {"blobId": etag(path, data)}


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub on 127.0.0.1 during the block, or until its `stop` is called."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()

    def stop():
        hub.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()

    hub.stop = stop
    try:
        yield hub
    finally:
        hub.stop()


def dataset(folder: Path, subset: str, splits: tuple[str, ...], named: bool) -> Path:
    """A dataset repository of parquet files; with `named`, its card says which file is what."""
    for split in splits:
        file = folder / subset / (f"{split}-00000.parquet" if named else f"{split}/0000.parquet")
        file.parent.mkdir(parents=True, exist_ok=True)
        rows = {"text": [f"{subset} {split} {i}" for i in range(2)], "label": [0, 1]}
        pd.DataFrame(rows).to_parquet(file)
    if named:
        lines = [f"  - split: {split}\n    path: {subset}/{split}-*\n" for split in splits]
        card = f"---\nconfigs:\n- config_name: {subset}\n  data_files:\n{''.join(lines)}---\n"
        (folder / "README.md").write_text(card)
    return folder


def closed_port() -> str:
    """The address of a hub that is not there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def point_to(url: str, home: Path, monkeypatch) -> None:
    """Make this process's Hugging Face libraries use the hub at `url` and keep caches in `home`.

    This replaces HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE, which they read only when imported. A
    failing hub is given up within seconds.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils import close_session

    from strata.sources import hub as downloads

    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    settings = {
        downloads: {"RETRY_SECONDS": 2.0, "FIRST_PAUSE_SECONDS": 0.05},
        constants: {
            "ENDPOINT": url,
            "HUGGINGFACE_CO_URL_TEMPLATE": template,
            "HF_HUB_CACHE": str(home / "hub"),
            "HF_HUB_OFFLINE": False,
            "HF_HUB_DISABLE_XET": True,
        },
    }
    for module, values in settings.items():
        for name, value in values.items():
            monkeypatch.setattr(module, name, value)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    close_session()
