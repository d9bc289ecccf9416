"""The schema of a database as text, so that two can be compared."""

from __future__ import annotations

import subprocess

from telestream.stack.root import client_command, ensure_root


def state(url: str) -> str:
    """Return the schema as pg_dump writes it, without the data of extensions."""
    dump = [*client_command(ensure_root(print), "pg_dump"), "--schema-only", url]
    lines = subprocess.run(dump, capture_output=True, text=True, check=True).stdout.splitlines()
    return "\n".join(line for line in lines if line and not line.startswith(("--", "\\restrict", "\\unrestrict")))
