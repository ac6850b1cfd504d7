"""The process around the command of a job: it outlives the server, keeps the log, and writes how it ended.

python -m detic_crop.app.child JOB_FOLDER COMMAND OPTIONS …
"""

from __future__ import annotations

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
    # What asks the command to end is sent to its whole group, and is no matter of ours. A handler and not
    # SIG_IGN, which the command would inherit.
    for name in ("SIGINT", "SIGTERM", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda number, frame: None)
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
    ) as process:
        assert process.stdout is not None
        said = _logged(process.stdout, files)
        code = process.wait()
    write_json(files.ended, {"code": code, "said": said, "time": time.time()})
    lock.release()
    return 0


def _logged(output: IO[bytes], files: JobFiles) -> str:
    """Write what a command prints to its log; return its last words: those of an error, if it had one.

    Of more than fits in two files the middle is lost.
    """
    error = last = ""
    size = 0
    log = open(files.log, "wb")  # noqa: SIM115 - it is replaced on the way
    for line in _lines(output):
        text = line.decode("utf-8", "replace").strip()
        last = text or last
        error = text.removeprefix(_PREFIX) if text.startswith(_PREFIX) else error
        log.write(line + b"\n")
        log.flush()
        size += len(line) + 1
        if size > _MOST_LOG:
            log.close()
            os.replace(files.log, files.earlier_log)
            log, size = open(files.log, "wb"), 0  # noqa: SIM115
    log.close()
    return error or last


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
