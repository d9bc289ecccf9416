"""Generates CDR files of any size with a known truth, for tests, benchmarks and first steps."""

from telestream.loaders.generate.customers import customers
from telestream.loaders.generate.defects import BadKind
from telestream.loaders.generate.files import generate_cdr
from telestream.loaders.generate.manifest import BadRows, Manifest, Totals
from telestream.loaders.generate.population import cells, plans, regions
from telestream.loaders.generate.spec import FileFormat, GenerateSpec

__all__ = [
    "BadKind",
    "BadRows",
    "FileFormat",
    "GenerateSpec",
    "Manifest",
    "Totals",
    "cells",
    "customers",
    "generate_cdr",
    "plans",
    "regions",
]
