"""The process around the command of a job: it outlives the server, keeps the log, and writes how it ended.

python -m detic_crop.app.child JOB_FOLDER COMMAND OPTIONS …
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import filelock

from detic_crop.app.job_files import JobFiles, write_json

TOKEN_VARIABLE = "DETIC_CROP_APP_TOKEN"
_PREFIX = "detic-crop: "
_MOST_LOG = 128 * 1024  # bytes of one of two files
_LONGEST_LINE = 2_000
_PATIENCE = 5.0  # seconds in which somebody who only looks at the lock has let it go


def main(arguments: Sequence[str]) -> int:
    """Run one command to its end."""
    folder, *command = arguments
    files = JobFiles(Path(folder))
    lock = filelock.FileLock(files.lock)
    try:
        lock.acquire(timeout=_PATIENCE)
    except filelock.Timeout:  # another one is at it
        return 1
    # What asks the command to end is sent to its whole group, and is ours only while there is no command.
    # A handler and not SIG_IGN, which the command would inherit.
    asked: list[int] = []
    for name in ("SIGINT", "SIGTERM", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda number, frame: asked.append(number))
    write_json(files.begun, {"pid": os.getpid(), "time": time.time()})
    environment = {name: value for name, value in os.environ.items() if name != TOKEN_VARIABLE}
    with subprocess.Popen(
        # -P: a folder of photos must not give Python its modules.
        [sys.executable, "-P", "-m", "detic_crop", *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=files.folder,
        env=environment,
        # It holds the lock, too: so long as it lives, the job does, should this process be killed.
        pass_fds=() if os.name == "nt" else (lock._context.lock_file_fd or 0,),
    ) as process:
        if asked:
            process.terminate()
        assert process.stdout is not None
        error, last = _logged(process.stdout, files)
        code = process.wait()
    said = last if code == 0 else error or last
    write_json(files.ended, {"code": code, "said": said, "time": time.time()})
    lock.release()
    return 0


def _logged(output: IO[bytes], files: JobFiles) -> tuple[str, str]:
    """Write what a command prints to its log; return its last error, or nothing, and its last line."""
    error = last = ""
    log = _Log(files)
    for line in _lines(output):
        text = line.decode("utf-8", "replace").strip()
        last = text or last
        error = text.removeprefix(_PREFIX) if text.startswith(_PREFIX) else error
        log.add(line)
    log.close()
    return error, last


class _Log:
    """The log of a command: of more than fits in two files the middle is lost, of a full disk all."""

    def __init__(self, files: JobFiles) -> None:
        self._files = files
        self._size = 0
        self._file: IO[bytes] | None = None

    def add(self, line: bytes) -> None:
        """Write a line; a disk that does not take it is no matter of the command."""
        with contextlib.suppress(OSError):
            if self._file is None:
                self._file, self._size = open(self._files.log, "wb", buffering=0), 0  # noqa: SIM115
            self._size += self._file.write(line + b"\n")
            if self._size > _MOST_LOG:
                self.close()
                os.replace(self._files.log, self._files.earlier_log)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _lines(output: IO[bytes]) -> Iterator[bytes]:
    """Yield lines, also those that a carriage return ends; of a long one the beginning of each piece."""
    rest = b""
    while data := os.read(output.fileno(), 65536):
        *lines, rest = (rest + data).replace(b"\r", b"\n").split(b"\n")
        if len(rest) > _LONGEST_LINE:
            lines, rest = [*lines, rest], b""
        yield from (line[:_LONGEST_LINE] for line in lines if line.strip())
    if rest.strip():
        yield rest


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
