"""Readers: from a source and a profile to segments of canonical records."""

from telestream.loaders.readers.opening import open_segments

__all__ = ["open_segments"]
