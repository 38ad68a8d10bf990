"""A Hugging Face hub on this machine: enough of its HTTP interface to fetch from, nothing more.

Repositories are folders. What was asked for is kept in ``Hub.requests``, so a test can say what
was never downloaded.
"""

import hashlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

API = re.compile(
    r"/api/(?P<kind>models|datasets)/(?P<repo>[^/]+/[^/]+)"
    r"(?:/(?P<what>revision|tree|paths-info)/(?P<revision>[^/]+)(?:/(?P<path>.*))?)?"
)
FILE = re.compile(
    r"/(?P<kind>datasets/)?(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)"
)


class Hub:
    """Repositories and a log of requests.

    Attributes
    ----------
    url : what HF_ENDPOINT is to be.
    requests : "METHOD path" of every request, unquoted, in order.
    """

    def __init__(self):
        self.repos: dict[tuple[str, str], dict[str, Path]] = {}
        self.requests: list[str] = []
        self.url = ""

    def add(self, kind: str, repo: str, folder: Path, revision: str = "main") -> str:
        """Serve `folder` as `repo` ("models" or "datasets"); returns its commit."""
        commit = hashlib.sha1(f"{kind} {repo} {revision}".encode()).hexdigest()
        revisions = self.repos.setdefault((kind, repo), {})
        revisions[revision] = revisions[commit] = Path(folder)
        return commit

    def commit(self, kind: str, repo: str, revision: str) -> str:
        folder = self.repos[kind, repo][revision]
        return next(
            name
            for name, other in self.repos[kind, repo].items()
            if other == folder and re.fullmatch("[0-9a-f]{40}", name)
        )

    def asked_for(self, suffix: str) -> list[str]:
        """Requests of files (their heads too) whose name ends so."""
        return [r for r in self.requests if "/resolve/" in r and r.endswith(suffix)]


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_HEAD(self):
            self.do_GET()

        def do_POST(self):
            self.do_GET()

        def do_GET(self):
            # The body first: what is left of it would be read as the next request.
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            path = urlsplit(self.path).path
            hub.requests.append(f"{self.command} {unquote(path)}")
            match = API.fullmatch(path) or FILE.fullmatch(path)
            if match is None:
                return self.fail("EntryNotFound")
            part = {key: unquote(value or "") for key, value in match.groupdict().items()}
            kind = "models" if part["kind"] in ("", "models") else "datasets"
            revision = part["revision"] or "main"
            if (kind, part["repo"]) not in hub.repos:
                return self.fail("RepoNotFound")
            if revision not in hub.repos[kind, part["repo"]]:
                return self.fail("RevisionNotFound")
            folder = hub.repos[kind, part["repo"]][revision]
            commit = hub.commit(kind, part["repo"], revision)
            if match.re is FILE:
                return self.file(folder, folder / part["path"], commit)
            if part["what"] == "tree":
                return self.tree(folder, folder / part["path"])
            if part["what"] == "paths-info":
                form = parse_qs(body)
                asked = form["paths"] if form else json.loads(body)["paths"]
                return self.send([self.entry(folder, folder / path) for path in asked
                                  if (folder / path).exists()])  # fmt: skip
            names = [f.relative_to(folder).as_posix() for f in files(folder)]
            siblings = [{"rfilename": name} for name in names]
            return self.send({"id": part["repo"], "sha": commit, "siblings": siblings,
                              "private": False, "gated": False, "tags": []})  # fmt: skip

        def tree(self, folder: Path, start: Path):
            if not start.is_dir():
                return self.fail("EntryNotFound")
            deep = parse_qs(urlsplit(self.path).query).get("recursive") == ["true"]
            inside = sorted(start.rglob("*") if deep else start.iterdir())
            return self.send([self.entry(folder, path) for path in inside])

        def entry(self, folder: Path, path: Path) -> dict:
            name = path.relative_to(folder).as_posix()
            kind = "directory" if path.is_dir() else "file"
            size = 0 if path.is_dir() else path.stat().st_size
            return {"type": kind, "path": name, "size": size, "oid": etag(name.encode())}

        def file(self, folder: Path, path: Path, commit: str):
            if not path.is_file():
                return self.fail("EntryNotFound", {"X-Repo-Commit": commit})
            data, status, headers = path.read_bytes(), 200, {"Accept-Ranges": "bytes"}
            headers |= {"X-Repo-Commit": commit, "ETag": f'"{etag(data)}"'}
            if span := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
                first, last = int(span[1]), int(span[2] or len(data) - 1)
                headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
                data, status = data[first : last + 1], 206
            return self.send(data, status, headers)

        def fail(self, code: str, headers: dict | None = None):
            return self.send({"error": code}, 404, {"X-Error-Code": code, **(headers or {})})

        def send(self, content, status: int = 200, headers: dict | None = None):
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for key, value in (headers or {}).items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

    return Handler


def etag(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub on 127.0.0.1, while the block lasts."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def closed_port() -> str:
    """The address of a hub that is not there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def point_to(url: str, home: Path, monkeypatch) -> None:
    """Make this process's Hugging Face libraries use the hub at `url` and keep caches in `home`.

    In place of HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE, which they read only when imported.
    """
    import datasets.config
    from huggingface_hub import constants
    from huggingface_hub.utils import close_session

    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    settings = {
        constants: {
            "ENDPOINT": url,
            "HUGGINGFACE_CO_URL_TEMPLATE": template,
            "HF_HUB_CACHE": str(home / "hub"),
            "HF_HUB_OFFLINE": False,
            "HF_HUB_DISABLE_XET": True,
        },
        datasets.config: {
            "HF_ENDPOINT": url,
            "HUB_DATASETS_URL": url + "/datasets/{repo_id}/resolve/{revision}/{path}",
            "HF_DATASETS_CACHE": home / "datasets",
            "DOWNLOADED_DATASETS_PATH": home / "datasets" / "downloads",
            "EXTRACTED_DATASETS_PATH": home / "datasets" / "downloads" / "extracted",
            "HF_MODULES_CACHE": home / "modules",
            "HF_HUB_OFFLINE": False,
            "HF_DATASETS_OFFLINE": False,
        },
    }
    for module, values in settings.items():
        for name, value in values.items():
            monkeypatch.setattr(module, name, value)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    close_session()
