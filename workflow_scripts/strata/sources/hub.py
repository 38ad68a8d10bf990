"""Files of a repository on a hub: retried while an error may be temporary, and verified.

Only this module, ``fetch_model`` and ``fetch_task`` use the network. A commit's listing gives the
hash of each of its files, and a file that does not match it is refused.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_before_delay,
    wait_exponential,
)

from strata.runtime.errors import NO_ROOM, StrataError

RETRY_SECONDS = 90.0  # how long a failing request is repeated
FIRST_PAUSE_SECONDS = 1.0  # before the second attempt; doubled before each further one
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
ELSEWHERE = "or download it elsewhere and give its folder as 'source: path:...'"


@dataclass(frozen=True)
class Commit:
    """What a revision of a repository resolved to.

    Attributes
    ----------
    what : str
        The model or task that files are fetched for, for messages.
    kind : str
        "model" or "dataset".
    hashes : dict of str to str or None
        The hash of each file: git's SHA-1, SHA-256 for a large file, or None if the hub gives none.
    """

    what: str
    kind: str
    repo: str
    revision: str
    name: str
    hashes: dict[str, str | None]

    @classmethod
    def find(cls, what: str, kind: str, repo: str, revision: str) -> "Commit":
        """Ask the hub what `revision` is now."""
        from huggingface_hub import HfApi, constants

        info = retry_transient(
            HfApi().repo_info,
            repo,
            revision=revision,
            repo_type=kind,
            files_metadata=True,
            timeout=constants.HF_HUB_ETAG_TIMEOUT,
        )
        hashes = {
            file.rfilename: file.lfs.sha256 if file.lfs else file.blob_id for file in info.siblings
        }
        return cls(what, kind, repo, revision, info.sha, hashes)

    def fetch(self, file: str) -> Path:
        """The path of one file in the hub's cache, downloaded if it is not there.

        Raises
        ------
        StrataError
            The hub sends a file other than the one it lists.
        """
        if file not in self.hashes:
            raise StrataError(
                f"The {self.what}: {self.repo} at {self.revision} has no file {file}."
            )
        if path := self._cached(file):
            return path
        for _ in range(2):
            try:
                path = Path(retry_transient(self._download, file))
                if self._is_listed(path, file):
                    return path
                _discard(path)
            except OSError as error:
                # Raised by the hub library if an answer has the wrong length; it has no errno.
                if type(error) is not OSError or error.errno is not None:
                    raise
            print(f"{file} arrived damaged", flush=True)
        raise StrataError(
            f"The {self.what}: {file} of {self.repo} arrived damaged twice: it is not the file "
            f"that the hub lists for commit {self.name}; try again later, {ELSEWHERE}."
        )

    def _cached(self, file: str) -> Path | None:
        """The file, if it was downloaded for this commit or for another one."""
        from huggingface_hub import constants, try_to_load_from_cache
        from huggingface_hub.file_download import repo_folder_name

        kind = {"repo_type": self.kind}
        earlier = try_to_load_from_cache(self.repo, file, revision=self.name, **kind)
        if isinstance(earlier, str):
            earlier = Path(earlier)
            if self._is_listed(earlier, file):
                return earlier
            if _is(earlier, earlier.resolve().name):  # blobs are named by their hash
                raise StrataError(
                    f"The {self.what}: {file} of {self.repo} was a different file when commit "
                    f"{self.name} was fetched before, but a commit should never change; pin "
                    f"another 'revision', or remove {earlier.parent} to accept the new file."
                )
            _discard(earlier)
        cache = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=self.repo, **kind)
        blob = cache / "blobs" / str(self.hashes[file])
        return blob if blob.is_file() and self._is_listed(blob, file) else None

    def _download(self, file: str) -> str:
        from huggingface_hub import hf_hub_download

        try:
            # Forced: otherwise the library repeats a failing request for minutes before we see it.
            return hf_hub_download(
                self.repo, file, repo_type=self.kind, revision=self.name, force_download=True
            )
        except ValueError as error:
            if type(error) is not ValueError or error.__cause__ is None:
                raise
            raise error.__cause__ from None
        except RuntimeError as error:
            # All that the library for large files (Xet) says, after trying for minutes.
            raise ConnectionError(str(error)) from error

    def _is_listed(self, path: Path, file: str) -> bool:
        listed = self.hashes[file]
        return listed is None or _is(path, listed)


def _is(path: Path, wanted: str) -> bool:
    """Whether a file has the given hash: SHA-256 or git's SHA-1, told apart by length."""
    if len(wanted) == 64:
        with path.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest() == wanted
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0%b" % (len(data), data)).hexdigest() == wanted


def _discard(cached: Path) -> None:
    """Remove a file from the hub's cache, and what it links to."""
    cached.resolve().unlink(missing_ok=True)
    cached.unlink(missing_ok=True)


def retry_transient(
    call: Callable[Arguments, Result], *arguments: Arguments.args, **named: Arguments.kwargs
) -> Result:
    """Make `call`, repeated while its errors may be temporary, for at most RETRY_SECONDS."""
    retrying = Retrying(
        retry=retry_if_exception(_may_pass),
        wait=_wait,
        stop=stop_before_delay(RETRY_SECONDS),
        before_sleep=_say,
        reraise=True,
    )
    return retrying(call, *arguments, **named)


def _may_pass(error: BaseException) -> bool:
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in (408, 429) or error.response.status_code >= 500
    passing = (httpx2.TimeoutException, httpx2.NetworkError, httpx2.RemoteProtocolError)
    return isinstance(error, passing)


def _wait(state: RetryCallState) -> float:
    """Seconds to wait: twice as long each time, but at least as long as the hub asks for."""
    asked = _asked_to_wait(state.outcome.exception()) or 0
    return max(
        asked, wait_exponential(multiplier=FIRST_PAUSE_SECONDS, max=16 * FIRST_PAUSE_SECONDS)(state)
    )


def _asked_to_wait(error: BaseException) -> int | None:
    """The seconds in the header that the hub sends when it is busy or gets too many requests."""
    from huggingface_hub.utils import parse_ratelimit_headers

    headers = error.response.headers if hasattr(error, "response") else {}
    if (after := headers.get("Retry-After", "")).isdigit():
        return int(after)
    limit = parse_ratelimit_headers(headers)
    return limit.reset_in_seconds if limit and not limit.remaining else None


def _say(state: RetryCallState) -> None:
    reason = _reason(state.outcome.exception())
    print(
        f"The hub request failed ({reason}); next attempt in {state.upcoming_sleep:.0f} s",
        flush=True,
    )


def _reason(error: BaseException) -> str:
    if hasattr(error, "response"):
        return f"{error.response.status_code} {error.response.reason_phrase}"
    return type(error).__name__


@contextmanager
def hub_errors(what: str, repo: str, revision: str) -> Iterator[None]:
    """Turn the hub's many exceptions into one sentence on what to do; inside, the hub is online."""
    os.environ["HF_HUB_OFFLINE"] = "0"
    import httpx2
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise StrataError(
            f"The {what} ({repo}) is gated: ask for access on its page, then log in with "
            "'hf auth login'."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise StrataError(
            f"The {what}: {repo} has no revision '{revision}'; correct 'revision' (a branch, tag "
            "or commit)."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise StrataError(
            f"The {what}: the hub has no repository {repo}, or it is private: correct 'source', "
            "or log in with 'hf auth login'."
        ) from error
    except errors.RemoteEntryNotFoundError as error:
        missing = error.response.url.path
        raise StrataError(f"The {what}: {repo} at {revision} has no file {missing}.") from error
    except (
        httpx2.HTTPError,
        errors.HfHubHTTPError,
        ConnectionError,
        TimeoutError,
        OSError,
    ) as error:
        if getattr(error, "errno", None) in NO_ROOM:
            raise  # not the hub's fault; ``strata.runtime.job`` explains it
        raise StrataError(_unreachable(what, repo, error)) from error
    except ValueError as error:
        raise StrataError(
            f"The {what}: {repo} at {revision} cannot be read: {str(error).rstrip('.')}; check "
            "'source', 'subset' and 'splits'."
        ) from error


def _unreachable(what: str, repo: str, error: Exception) -> str:
    reason = _reason(error)
    if reason.startswith(("401", "403")):
        return (
            f"The {what}: the hub refuses access to {repo} ({reason}); log in with 'hf auth login' "
            "and a token that may read it."
        )
    if reason.startswith("429"):
        asked = _asked_to_wait(error)
        pause = f"in {asked} seconds" if asked else "later"
        return (
            f"The {what}: the hub received too many requests and does not answer for {repo} "
            f"({reason}); try again {pause}, or log in with 'hf auth login', which allows more."
        )
    return (
        f"The {what}: the hub cannot be reached for {repo} ({reason}); check the network or "
        f"HF_ENDPOINT, {ELSEWHERE}."
    )
