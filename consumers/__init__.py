"""Streaming: consumers of network events and CDRs (part B)."""
