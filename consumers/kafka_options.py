"""Where the broker is and how to log in: what every Kafka client of the product takes."""

from __future__ import annotations

from typing import Any

from telestream.errors import TerminalError
from telestream.settings import settings
from telestream.stack import state as stack_state


def kafka_options() -> dict[str, Any]:
    """Return the arguments for any kafka-python client, from the settings, else for the embedded broker.

    Raises:
        TerminalError: no broker is configured.
    """
    given = settings()
    bootstrap = given.kafka_bootstrap
    if not bootstrap:
        state = stack_state.load()
        if state is None or not state.broker_port:
            raise TerminalError(
                "no broker is configured",
                detail="TELESTREAM_KAFKA_BOOTSTRAP is not set and the embedded broker has never been started.",
                hint="Run `telestream stack up`, or set TELESTREAM_KAFKA_BOOTSTRAP to host:port.",
            )
        return {"bootstrap_servers": state.kafka_bootstrap, "client_id": "telestream"}
    options: dict[str, Any] = {
        "bootstrap_servers": bootstrap.split(","),
        "client_id": "telestream",
        "security_protocol": given.kafka_security_protocol,
    }
    if given.kafka_ca_file is not None:
        options["ssl_cafile"] = str(given.kafka_ca_file)
    if given.kafka_username:
        options["sasl_mechanism"] = given.kafka_sasl_mechanism
        options["sasl_plain_username"] = given.kafka_username
        options["sasl_plain_password"] = given.kafka_password.get_secret_value()
    return options


def broker_name(options: dict[str, Any]) -> str:
    """Return what the lineage calls the broker: the first of the bootstrap servers, as OpenLineage names it."""
    servers = options["bootstrap_servers"]
    return f"kafka://{servers if isinstance(servers, str) else servers[0].strip()}"
