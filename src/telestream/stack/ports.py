"""Chooses TCP ports on the loopback address."""

from __future__ import annotations

import random
import socket

# Below the kernel's range for outgoing connections, which could hold a port while the stack is down.
_RANGE = range(20000, 32000)


def is_free(port: int) -> bool:
    """Tell whether a server could listen on this port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def choose(*wanted: int) -> int:
    """Return the first wanted port that is free, or else another free port."""
    for port in wanted:
        if port and is_free(port):
            return port
    while True:
        port = random.choice(_RANGE)
        if is_free(port):
            return port
