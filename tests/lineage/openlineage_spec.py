"""Checks events against the classes of the Python client of OpenLineage, which are generated from its schemas."""

from __future__ import annotations

from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import attr
import psycopg
from openlineage.client import facet_v2
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState

_CORE = "https://openlineage.io/spec/2-0-2/OpenLineage.json"
# A facet's key in an event, and the class of the client that is made of it.
CLASSES: dict[str, type] = {
    "schema": facet_v2.schema_dataset.SchemaDatasetFacet,
    "datasetType": facet_v2.dataset_type_dataset.DatasetTypeDatasetFacet,
    "outputStatistics": facet_v2.output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet,
    "inputStatistics": facet_v2.input_statistics_input_dataset.InputStatisticsInputDatasetFacet,
    "dataQualityMetrics": facet_v2.data_quality_metrics_input_dataset.DataQualityMetricsInputDatasetFacet,
    "dataQualityAssertions": facet_v2.data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet,
    "parent": facet_v2.parent_run.ParentRunFacet,
    "nominalTime": facet_v2.nominal_time_run.NominalTimeRunFacet,
    "errorMessage": facet_v2.error_message_run.ErrorMessageRunFacet,
    "processing_engine": facet_v2.processing_engine_run.ProcessingEngineRunFacet,
    "jobType": facet_v2.job_type_job.JobTypeJobFacet,
    "executionParameters": facet_v2.execution_parameters_run.ExecutionParametersRunFacet,
}


def _made(kind: Any, value: Any) -> Any:
    """Make what a type hint of the client says of a value of JSON; fails where the value is something else."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin in {Union, UnionType}:
        if value is None:
            assert type(None) in inner
            return None
        [kind] = [one for one in inner if one is not type(None)]
        return _made(kind, value)
    if origin is list:
        assert isinstance(value, list)
        return [_made(inner[0], one) for one in value]
    if origin is dict:
        assert isinstance(value, dict)
        return {key: _made(inner[1], one) for key, one in value.items()}
    if attr.has(kind):
        hints = get_type_hints(kind)
        return kind(**{name: _made(hints[name], one) for name, one in value.items()})
    assert isinstance(value, (int, float) if kind is float else kind), (kind, value)
    return value


def facets_of(event: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return every facet of an event under its key."""
    places = [event["job"], event["run"], *event["inputs"], *event["outputs"]]
    return [
        item
        for place in places
        for name in ("facets", "inputFacets", "outputFacets")
        for item in place.get(name, {}).items()
    ]


def assert_valid(event: dict[str, Any]) -> None:
    """Check an event and each of its facets: names, nesting, types, what is required, versions of the schemas."""
    assert event["schemaURL"] == f"{_CORE}#/$defs/RunEvent"
    for name, facet in facets_of(event):
        # The client knows the facet, under the same version of its schema.
        assert facet["_schemaURL"] == CLASSES[name]._get_schema()
        assert facet["_producer"] == event["producer"]
        _made(CLASSES[name], {key: value for key, value in facet.items() if not key.startswith("_")})
    assert set(event) == {"eventType", "eventTime", "producer", "schemaURL", "run", "job", "inputs", "outputs"}
    assert set(event["run"]) <= {"runId", "facets"}
    assert set(event["job"]) <= {"namespace", "name", "facets"}
    assert all(set(one) <= {"namespace", "name", "facets", "inputFacets"} for one in event["inputs"])
    assert all(set(one) <= {"namespace", "name", "facets", "outputFacets"} for one in event["outputs"])
    # These look at the time and the number of the run themselves.
    RunEvent(
        eventType=RunState[event["eventType"]],
        eventTime=event["eventTime"],
        producer=event["producer"],
        run=Run(event["run"]["runId"]),
        job=Job(event["job"]["namespace"], event["job"]["name"]),
        inputs=[InputDataset(one["namespace"], one["name"]) for one in event["inputs"]],
        outputs=[OutputDataset(one["namespace"], one["name"]) for one in event["outputs"]],
    )


def events(connection: psycopg.Connection, job: str = "%") -> list[dict[str, Any]]:
    """Return the events of jobs, in their order; each is valid, and each run has at most one end."""
    rows = connection.execute(
        "SELECT event FROM ops.lineage_event WHERE job LIKE %s ORDER BY event_id", (job,)
    ).fetchall()
    found: list[dict[str, Any]] = [event for (event,) in rows]
    ends: set[str] = set()
    begun: set[str] = set()
    for event in found:
        assert_valid(event)
        run = event["run"]["runId"]
        if event["eventType"] == "START":
            assert run not in begun
            begun.add(run)
        else:
            assert run in begun
            assert run not in ends
            ends.add(run)
    return found


def types(found: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return job and type of each event."""
    return [(event["job"]["name"], event["eventType"]) for event in found]


def parameters(event: dict[str, Any]) -> dict[str, str]:
    """Return the parameters of the run of an event."""
    return {one["key"]: one["value"] for one in event["run"]["facets"]["executionParameters"]["parameters"]}


def name_of(dataset: dict[str, Any]) -> str:
    """Return the name of a dataset, of a table without its database."""
    name: str = dataset["name"]
    return name.partition(".")[2] if dataset["namespace"].startswith("postgres://") else name


def read(event: dict[str, Any]) -> dict[str, int | None]:
    """Return the inputs of an event with the rows read."""
    return {
        name_of(one): one.get("inputFacets", {}).get("inputStatistics", {}).get("rowCount") for one in event["inputs"]
    }


def written(event: dict[str, Any]) -> dict[str, int | None]:
    """Return the outputs of an event with the rows written."""
    return {
        name_of(one): one.get("outputFacets", {}).get("outputStatistics", {}).get("rowCount")
        for one in event["outputs"]
    }


def violated(event: dict[str, Any]) -> dict[str, int]:
    """Return the rules that were violated, and how often."""
    rules = event["inputs"][0]["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert all(rule["success"] == (rule["actual"] == "0") for rule in rules)
    return {rule["assertion"]: int(rule["actual"]) for rule in rules if not rule["success"]}
