"""Data sets of the Hugging Face Hub: `hf://owner/name`, then a file, a folder or a split, then `@revision`.

Only plain files with rows are fetched, never a data set's script. What was fetched once is read offline.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError, listing, nearest, shorten
from .beside import SPLITS
from .source import READABLE

PREFIX = "hf://"
TIMEOUT_SECONDS = 20
"""How long the Hub may take to say what a data set is."""
CONVERTED = "refs/convert/parquet"
"""Branch in which the Hub keeps every data set as Parquet."""


@dataclass(frozen=True)
class Address:
    """A parsed `hf://` address. `rest`: file, folder or split; empty: the whole data set."""

    shown: str
    repo: str
    rest: str
    revision: str | None


def parse(address: str) -> Address:
    """The parts of an `hf://` address. Raises DataError where it has not two names."""
    body, _, revision = address.removeprefix(PREFIX).removeprefix("datasets/").partition("@")
    pieces = body.strip("/").split("/")
    if len(pieces) < 2 or not all(re.fullmatch(r"[\w.-]+", piece) and piece not in (".", "..") for piece in pieces):
        raise DataError(
            address, expected="hf://owner/name, then a file or a folder of it", got=shorten(body),
            fix="copy the name from the data set's page", code="bad-address",
        )
    return Address(address, "/".join(pieces[:2]), "/".join(pieces[2:]), revision or None)


def fetch(address: str) -> list[tuple[str, Path]]:
    """The files behind an `hf://` address: (name for messages, path on this machine).

    Raises DataError where there is no such data set, file or split, or the Hub cannot be reached and nothing is kept.
    """
    from huggingface_hub.errors import RepositoryNotFoundError

    wanted = parse(address)
    try:
        with _quietly():
            found = _fetched(wanted)
    except DataError:
        raise
    except RepositoryNotFoundError:
        raise DataError(
            address, expected="a public data set of the Hub", got=f"none called {wanted.repo!r} (or it needs a login)",
            fix="check the name on huggingface.co/datasets, or give a local file", code="no-such-dataset",
        ) from None
    except Exception as error:  # each transport of the Hub's client raises errors of its own
        found = _kept(wanted)
        if not found:
            raise _unreachable(wanted, error) from None
    return [(f"{PREFIX}{wanted.repo}/{name}", Path(path)) for name, path in found]


def _fetched(wanted: Address) -> list[tuple[str, str]]:
    """Files of the data set; of the Hub's own Parquet copy where the owner keeps no plain files."""
    from huggingface_hub import HfApi, hf_hub_download

    api, revision = HfApi(), wanted.revision
    api.dataset_info(wanted.repo, revision=revision, timeout=TIMEOUT_SECONDS)  # once; listing is tried six times
    files = api.list_repo_files(wanted.repo, repo_type="dataset", revision=revision)
    if not any(map(_readable, files)) and not revision:
        revision = CONVERTED
        files = api.list_repo_files(wanted.repo, repo_type="dataset", revision=revision)
    chosen = choose(files, wanted)
    return [(name, hf_hub_download(wanted.repo, name, repo_type="dataset", revision=revision)) for name in chosen]


@contextmanager
def _quietly() -> Iterator[None]:
    """The Hub's client says nothing of its own: what went wrong is told once, in our error."""
    logger = logging.getLogger("huggingface_hub")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def _kept(wanted: Address) -> list[tuple[str, str]]:
    """Files of the data set that were fetched before."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(
            snapshot_download(wanted.repo, repo_type="dataset", revision=wanted.revision, local_files_only=True)
        )
    except (LocalEntryNotFoundError, OSError, ValueError):
        return []
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return [(name, str(folder / name)) for name in choose(files, wanted)]


def choose(files: Sequence[str], wanted: Address) -> list[str]:
    """The files to read: the one that is named, or all of one split (`train` where nothing else is said).

    Raises DataError where the name fits nothing, or several configurations.
    """
    readable = [name for name in files if _readable(name)]
    rest = wanted.rest
    if rest in readable:
        return [rest]
    below = [name for name in readable if name.startswith(f"{rest}/")] if rest else readable
    if rest and not below:
        below = [name for name in readable if split_of(name) == rest]
        return _one_configuration(below, wanted) if below else _nothing(readable, wanted)
    if not below:
        _nothing(files, wanted)
    return _one_configuration([name for name in below if split_of(name) in ("train", "")] or below, wanted)


def split_of(name: str) -> str:
    """The split that a file's name tells: train, test, validation, or nothing."""
    found = SPLITS.search("/".join(name.split("/")[-2:]).rpartition(".")[0])
    words = {"training": "train", "testing": "test", "dev": "validation", "val": "validation", "valid": "validation"}
    return words.get(found[2].lower(), found[2].lower()) if found else ""


def _one_configuration(names: list[str], wanted: Address) -> list[str]:
    groups = {(_configuration(name), name.rpartition(".")[2]) for name in names}
    splits = {split_of(name) for name in names}
    if len(groups) > 1 or len(splits) > 1:
        raise DataError(
            wanted.shown, expected="files of one table", got=f"{len(names):,}: {listing(sorted(names))}",
            fix=f"say which: hf://{wanted.repo}/FILE or /FOLDER", code="several-files",
        )
    return sorted(names)


def _configuration(name: str) -> str:
    """The folders above a file, a last one that only tells the split left out."""
    folders = name.split("/")[:-1]
    return "/".join(folders[:-1] if folders and SPLITS.search(folders[-1]) else folders)


def _nothing(files: Sequence[str], wanted: Address) -> list[str]:
    expected = f"a file, folder or split {wanted.rest!r}" if wanted.rest else "files with rows"
    raise DataError(wanted.shown, expected=expected, got="none", fix=nearest(wanted.rest, files), code="no-such-file")


def _readable(name: str) -> bool:
    return name.lower().removesuffix(".gz").endswith(tuple(s for s in READABLE if s not in (".txt", ".dat"))) and not (
        name.rpartition("/")[2].lower().startswith(("dataset_info", "dataset_dict", "state.", "package", "."))
    )


def _unreachable(wanted: Address, error: Exception) -> DataError:
    return DataError(
        wanted.shown, expected="the Hugging Face Hub, or a copy kept from before",
        got=f"neither: asked for the files of data set {wanted.repo!r}, then {type(error).__name__} "
        f"({shorten(' '.join(str(error).split()), 100)})",
        fix="go online, set HF_ENDPOINT to a mirror, or give a local file", code="hub-unreachable",
    )
