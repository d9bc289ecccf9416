"""Batch loading: discover, parse, map, copy, refine."""
