"""Write files so that whatever stops the writing, the old or the new content is there, whole; name broken ones."""

import errno
import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


class BrokenFileError(ValueError):
    """A file that is there but is not what it should be, cut short say; the message names it."""


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file to write to, which takes the place of `path` when the block has ended without an error.

    Folders that are missing are made. Two processes may write the same path at once: the later one wins, whole.

    Raises:
        OSError: it cannot be written. A full disk is named as such, with the path.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # else a power cut could leave the new name on an empty file
        draft.replace(path)
    except BaseException as error:
        draft.unlink(missing_ok=True)
        reason = error if isinstance(error, OSError) else error.__context__  # torch.save hides it there
        if isinstance(reason, OSError) and reason.errno in (errno.ENOSPC, errno.EDQUOT):
            full = "the disk is full: make room, then run the same again; what was there before is kept"
            raise OSError(reason.errno, full, str(path)) from error
        raise


def write(path: Path, content: str | bytes) -> None:
    """Make `path` hold `content`, text in UTF-8, with ? for what UTF-8 cannot hold, whole or not at all."""
    with replacing(path) as file:
        file.write(content.encode(errors="replace") if isinstance(content, str) else content)


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        BrokenFileError: it is not whole.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BrokenFileError(f"{path} is broken: {error}") from error


def set_aside(path: Path, error: BrokenFileError) -> None:
    """Rename a broken file, so that a whole one can take its place, and warn."""
    aside = path.replace(path.with_name(f"{path.name}.broken"))
    warnings.warn(f"{error}. It is set aside as {aside.name} and made again.", stacklevel=2)
