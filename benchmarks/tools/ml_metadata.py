# /// script
# requires-python = "==3.11.*"
# dependencies = ["ml-metadata==1.17.1"]
#
# [tool.uv]
# exclude-newer = "2026-11-20T00:00:00Z"
#
# [tool.assay]
# title = "TensorFlow ML Metadata"
# homepage = "https://www.tensorflow.org/tfx/guide/mlmd"
# devices = ["cpu"]
# ///
"""ML Metadata: what ran, what it read and what it wrote, as typed records in SQLite; it keeps no bytes of them."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ml_metadata import ListOptions, MetadataStore
from ml_metadata.proto import metadata_store_pb2 as records

from benchmarks.contract import Declined, Probing

GIVEN, MADE = records.Event.INPUT, records.Event.OUTPUT


class Store:
    """A run is an execution, its files and data sets are artefacts, and events lie between them."""

    delete = Declined("no call of the library or of its service deletes a record")

    def __init__(self, folder: Path) -> None:
        settings = records.ConnectionConfig()
        settings.sqlite.filename_uri = str(folder / "metadata.db")
        settings.sqlite.connection_mode = records.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
        self.store = MetadataStore(settings)
        self.folder = folder / "kept"
        self.folder.mkdir()
        self.training = self.store.put_execution_type(records.ExecutionType(name="Training"))
        kinds = {name: records.ArtifactType(name=name) for name in ("Data", "File", "Model")}
        self.kinds = {name: self.store.put_artifact_type(kind) for name, kind in kinds.items()}
        project = self.store.put_context_type(records.ContextType(name="Experiment"))
        self.experiment = records.Context(type_id=project, name="probes")
        (self.experiment.id,) = self.store.put_contexts([self.experiment])

    def artefact(self, kind: str, file: Path | None = None, name: str = "") -> Any:
        """A record of a file, by address and digest; its bytes are kept by whoever writes them, here in a folder."""
        made = records.Artifact(type_id=self.kinds[kind])
        if name:  # the empty name counts as one
            made.name = name
        if file:
            content = file.read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            place = self.folder / digest
            place.write_bytes(content)
            made.uri = place.as_uri()
            made.custom_properties["digest"].string_value = digest
        return made

    def log(self, name: str, parameters: Mapping[str, str], series: Mapping[str, list[float]], artefact: Path) -> str:
        run = records.Execution(type_id=self.training, name=name, last_known_state=records.Execution.COMPLETE)
        for key, value in parameters.items():
            run.custom_properties[key].string_value = value
        for metric, values in series.items():
            # A double can be asked for, and has six decimals in SQLite; a struct has all, and cannot be asked for.
            run.custom_properties[metric].double_value = values[-1]
            run.custom_properties[f"{metric} steps"].struct_value.update({"values": values})
        event = records.Event(type=MADE)
        number, _, _ = self.store.put_execution(run, [(self.artefact("File", artefact), event)], [self.experiment])
        return str(number)

    def read(self, run: str) -> tuple[Mapping[str, str], Mapping[str, list[float]], bytes]:
        (found,) = self.store.get_executions_by_id([int(run)])
        parameters, series = {}, {}
        for name, value in found.custom_properties.items():
            if value.HasField("string_value"):
                parameters[name] = value.string_value
            elif value.HasField("struct_value"):
                series[name.removesuffix(" steps")] = list(value.struct_value["values"])
        (event,) = self.store.get_events_by_execution_ids([int(run)])
        (artefact,) = self.store.get_artifacts_by_id([event.artifact_id])
        content = Path(artefact.uri.removeprefix("file://")).read_bytes()
        if hashlib.sha256(content).hexdigest() != artefact.custom_properties["digest"].string_value:
            raise ValueError(f"{artefact.uri}: the digest is another")
        return parameters, series, content

    def search(self, metric: str, above: float, parameter: str, value: str) -> set[str]:
        text = (
            f"custom_properties.{metric}.double_value > {above} "
            f"AND custom_properties.{parameter}.string_value = '{value}'"
        )
        return {str(run.id) for run in self.store.get_executions(ListOptions(filter_query=text))}

    def made(self, file: Path, data: str) -> tuple[str, str]:
        model = self.artefact("Model", file)
        pairs = [(self.artefact("Data", name=data), records.Event(type=GIVEN)), (model, records.Event(type=MADE))]
        run, artefacts, _ = self.store.put_execution(records.Execution(type_id=self.training), pairs, [self.experiment])
        return str(run), str(artefacts[-1])

    def alone(self, file: Path) -> str:
        (number,) = self.store.put_artifacts([self.artefact("Model", file)])
        return str(number)

    def origin(self, version: str) -> tuple[str, str]:
        """Upstream of the model, two steps: its run, and what that read."""
        asked = records.LineageSubgraphQueryOptions(
            direction=records.LineageSubgraphQueryOptions.UPSTREAM, max_num_hops=2
        )
        asked.starting_artifacts.filter_query = f"id = {version}"
        graph = self.store.get_lineage_subgraph(asked)
        given = [one.name for one in graph.artifacts if one.type_id == self.kinds["Data"]]
        return "".join(str(run.id) for run in graph.executions), "".join(given)


@contextlib.contextmanager
def probe(job: Probing) -> Iterator[Mapping[str, Any]]:
    store = Store(Path(job.scratch))
    yield {
        "track": store,
        "lineage": store,
        "register": Declined("a record of a model has its address and digest; its bytes and stages are kept by others"),
        "ui": Declined("a library and a service over gRPC, without pages"),
        "version": Declined("a record of a data set has its address and digest; its bytes are kept by others"),
    }
