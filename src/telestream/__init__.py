"""TeleStream Insights Hub: telecom CDRs and network events in TimescaleDB, from file and stream to Gold."""

from importlib.metadata import version

__version__ = version("telestream")
