"""Generates a whole file: blocks are made and encoded in threads, counted and written in order."""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

from telestream.errors import TransientError, UsageError
from telestream.loaders.generate.block import Block
from telestream.loaders.generate.cdr import Maker
from telestream.loaders.generate.manifest import Manifest, Tally
from telestream.loaders.generate.spec import GenerateSpec
from telestream.loaders.generate.writers import open_sink

_MOST_THREADS = 4
"""Beyond it the one thread that writes is the limit, and memory grows by a block a thread."""


def generate_cdr(spec: GenerateSpec, out: Path, progress: Callable[[int], None] | None = None) -> Manifest:
    """Write the file of a spec and return the truth about it.

    The file appears under its name only when it is whole; one that was there is replaced. Memory does not
    depend on the number of rows. `progress` is told the number of rows just written.

    Raises:
        UsageError: the file cannot be created.
        TransientError: the disk is full.
    """
    part = out.with_name(f"{out.name}.part")
    try:
        file = part.open("wb")
    except OSError as exc:
        raise UsageError(
            f"cannot create {out}",
            detail=f"{exc.strerror}.",
            hint="Name a file in a folder you can write to.",
        ) from exc
    try:
        with file:
            manifest = _fill(spec, file, progress)
        os.replace(part, out)
    except OSError as exc:
        part.unlink(missing_ok=True)
        if exc.errno == errno.ENOSPC:
            raise TransientError(f"no space left to write {out}", hint="Free some and run it again.") from exc
        raise UsageError(f"cannot write {out}", detail=f"{exc.strerror}.") from exc
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return manifest


def _fill(spec: GenerateSpec, file: BinaryIO, progress: Callable[[int], None] | None) -> Manifest:
    maker = Maker(spec)
    sink = open_sink(spec, maker.texts, file)
    tally = Tally(spec)

    def make(first: int) -> tuple[Block, Any]:
        block = maker.block(first, min(sink.block_rows, spec.rows - first))
        return block, sink.encode(block)

    def take(done: Future[tuple[Block, Any]]) -> None:
        block, encoded = done.result()
        tally.add(block)
        sink.write(encoded)
        if progress:
            progress(block.rows)

    threads = min(_MOST_THREADS, os.cpu_count() or 1)
    ahead: deque[Future[tuple[Block, Any]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for first in range(0, spec.rows, sink.block_rows):
            ahead.append(pool.submit(make, first))
            if len(ahead) > threads:
                take(ahead.popleft())
        while ahead:
            take(ahead.popleft())
    sink.close()
    return tally.manifest
