"""Log lines of every service: text for people, or JSON for what gathers logs, with the trace that a line belongs to."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

from telestream import tracing
from telestream.settings import settings


class JsonFormatter(logging.Formatter):
    """One JSON object a line; the fields that a line adds are of its making, and none of them is personal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "at": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= getattr(record, "fields", {}) | tracing.ids()
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def to_stderr() -> None:
    """Show our own lines on stderr, one per event, as TELESTREAM_LOG_FORMAT says."""
    handler = logging.StreamHandler(sys.stderr)
    is_json = settings().log_format == "json"
    handler.setFormatter(JsonFormatter() if is_json else logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(handlers=[handler])
    logging.getLogger("telestream").setLevel(logging.INFO)
