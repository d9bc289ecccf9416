"""What uvicorn leaves open: how long the head of a request may take and how large it may grow."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# From the connection, or the first byte of a further request on it, to the end of the headers.
HEAD_SECONDS = 10.0
MAX_HEAD = 64 * 1024


class GuardedProtocol(HttpToolsProtocol):
    """HTTP as uvicorn speaks it; a connection whose request does not begin, or does not stop beginning, is closed."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._head_bytes: int | None = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Begin to wait for the end of the headers."""
        super().on_message_begin()
        self._wait()

    def on_headers_complete(self) -> None:
        """Stop waiting: the body has a limit of its own."""
        self._stop_waiting()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Take bytes, unless the head has too many of them."""
        if self._head_bytes is not None:
            self._head_bytes += len(data)
            # One chunk may end the head and hold a body: only what came before it is surely head.
            if self._head_bytes - len(data) > MAX_HEAD:
                self.send_400_response("The head of the request is too large.")
                return
        super().data_received(data)

    def _wait(self) -> None:
        self._stop_waiting()
        self._head_bytes = 0
        self._head_timer = asyncio.get_running_loop().call_later(HEAD_SECONDS, self._close)

    def _stop_waiting(self) -> None:
        self._head_bytes = None
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _close(self) -> None:
        self.transport.close()
