"""Statistics by Apache Beam: TFDV's GenerateStatistics over the Parquet parts, on any runner.

The runner is what `beam_pipeline_args` name. `--runner=FnApiRunner` works on this machine, with
`--direct_running_mode=multi_processing --direct_num_workers=N` in N processes. Beam 2.68 and later
let `DirectRunner` download a binary, Prism, at run time: here it means FnApiRunner. PortableRunner
talks to any job service; Flink and Spark are reached by it or by their own options, Dataflow needs
Beam's gcp extra in the image, and all of them the parts where their workers can read them.
The workers need this package too: their environment is this step's image.
"""

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from shipway.components.lib.errors import ConfigurationError
from shipway.components.validate.casting import ColumnCast
from shipway.components.validate.chunks import Chunk, read_chunk
from shipway.components.validate.profile import Notes, Profile, TextNumbers, prepare
from shipway.components.validate.statistics import begin, stats_options

HERE = ("DirectRunner", "BundleBasedDirectRunner", "FnApiRunner")
REACHABLE = ("gs", "s3", "hdfs")


@dataclass(frozen=True)
class Places:
    """Where the table lies, and where the workers may write.

    Attributes:
        path: the Dataset on this machine.
        uri: the same Dataset for workers on others.
        scratch_uri: a prefix that those workers may write to.
    """

    path: Path
    uri: str = ""
    scratch_uri: str = ""


def runner_of(arguments: Sequence[str]) -> str:
    """The runner that Beam's arguments name.

    Raises:
        ConfigurationError: they name none, or one that would download a program.
    """
    named = [one.partition("=")[2] for one in arguments if one.startswith("--runner=")]
    if not named or not named[-1]:
        raise ConfigurationError(
            "beam_pipeline_args name no runner. Add '--runner=FnApiRunner' for this machine or "
            "'--runner=PortableRunner' for a cluster, or leave them empty to go without Beam."
        )
    runner = named[-1].rpartition(".")[2]
    given = any(one.startswith("--prism_location=/") for one in arguments)
    if runner == "PrismRunner" and not given:
        raise ConfigurationError(
            "beam_pipeline_args name PrismRunner, which downloads a program and runs it. Give "
            "'--prism_location=/PATH' of one in the image, or take '--runner=FnApiRunner'."
        )
    return runner


def pipeline_arguments(arguments: Sequence[str]) -> list[str]:
    """Beam's arguments as they are handed on."""
    runner = runner_of(arguments)
    others = [one for one in arguments if not one.startswith("--runner=")]
    if runner not in HERE:
        return [*arguments]
    workers = any(one.startswith("--direct_num_workers=") for one in others)
    if workers and not any(one.startswith("--direct_running_mode=") for one in others):
        others.append("--direct_running_mode=multi_processing")  # else their number is ignored
    return ["--runner=FnApiRunner", *others]


def measure_with_beam(
    places: Places, arguments: Sequence[str], schema: Any = None, sample_rows: int = 0
) -> Profile:
    """Measure a Dataset by Beam; as `statistics.measure` but for the order of rare values.

    Args:
        places: where the table lies.
        arguments: Beam's, with `--runner=`.
        schema: a TFDV Schema that says how columns are meant, or None.
        sample_rows: rows to measure at most; 0 for all.

    Raises:
        ConfigurationError: the arguments cannot be used, or workers cannot reach the table.
        DataError: the directory is missing or empty.
    """
    runner, given = runner_of(arguments), pipeline_arguments(arguments)
    profile = begin(places.path, sample_rows)
    source, scratch = reachable(places, runner, given)
    with tempfile.TemporaryDirectory(prefix="beam-") as folder:
        target = scratch or folder
        _run(source, target, profile, given, stats_options(len(profile.casts), schema))
        _collect(target, profile)
    profile.notes.settle()
    profile.route = (
        f"The {profile.rows:,} rows were measured by Apache Beam on {runner}, as "
        "beam_pipeline_args say. On one machine the streamed route is faster: leave them empty."
    )
    return profile


def reachable(places: Places, runner: str, arguments: Sequence[str]) -> tuple[str, str]:
    """Where the workers read and write; an empty second part for a folder of this machine."""
    if runner in HERE or "--environment_type=LOOPBACK" in arguments:
        return str(places.path), ""
    scheme = places.uri.partition("://")[0]
    if scheme in REACHABLE:
        return places.uri.rstrip("/"), places.scratch_uri.rstrip("/")
    if runner == "DataflowRunner" or "://" in places.uri:
        raise ConfigurationError(
            f"The workers of {runner} cannot read the table at '{places.uri or places.path}'. Run "
            f"with a pipeline root on {', '.join(f'{one}://' for one in REACHABLE[:2])}, or leave "
            "beam_pipeline_args empty."
        )
    return str(places.path), ""  # a volume that the workers share


def _run(source: str, target: str, profile: Profile, arguments: list[str], options: Any) -> None:
    import apache_beam as beam
    import tensorflow_data_validation as tfdv
    from apache_beam.options.pipeline_options import PipelineOptions

    # As the streamed route does: sketches, whose size does not grow with the values.
    options.use_sketch_based_topk_uniques = True
    try:
        with beam.Pipeline(options=PipelineOptions(arguments)) as pipeline:
            read = (
                pipeline
                | "Chunks" >> beam.Create([chunk for chunk in profile.chunks if chunk.rows])
                # Else one worker would read all that was made in one bundle.
                | "Spread" >> beam.Reshuffle()
                | "Read"
                >> beam.FlatMap(_read, source, profile.casts).with_outputs(NOTES, main="rows")
            )
            measured = read.rows | "Measure" >> tfdv.GenerateStatistics(options)
            _ = (
                measured
                | "Serialize" >> beam.Map(lambda one: one.SerializeToString())
                | "WriteStatistics" >> beam.Map(_write, f"{target}/{STATISTICS}")
            )
            _ = (
                read[NOTES]
                | "Together" >> beam.combiners.ToList()
                | "WriteNotes" >> beam.Map(_write_notes, f"{target}/{NOTES}")
            )
    except (ImportError, ValueError) as error:
        raise ConfigurationError(
            f"Beam does not run with beam_pipeline_args {' '.join(arguments)}: {error}"
        ) from error


STATISTICS, NOTES = "statistics", "notes"


def _read(chunk: Chunk, source: str, casts: list[ColumnCast]) -> Iterator[Any]:
    from apache_beam.io.filesystems import FileSystems
    from apache_beam.pvalue import TaggedOutput
    from tfx_bsl.arrow import table_util

    with FileSystems.open(f"{source}/{chunk.part}") as file:
        batch = read_chunk(_seekable(file), chunk)
    notes = Notes()
    ready = prepare(batch, casts, chunk.row_numbers(), notes)
    texts = {name: asdict(seen) for name, seen in notes.text_numbers.items()}
    yield TaggedOutput(NOTES, (chunk.first_row, texts, dict(notes.infinities)))
    yield table_util.CanonicalizeRecordBatch(ready)


def _seekable(file: Any) -> Any:
    return pa.PythonFile(file, mode="r")


def _write(content: bytes, uri: str) -> None:
    from apache_beam.io.filesystems import FileSystems

    with FileSystems.create(uri) as file:
        file.write(content)


def _write_notes(notes: list[Any], uri: str) -> None:
    _write(json.dumps(sorted(notes, key=lambda one: int(one[0]))).encode(), uri)


def _collect(target: str, profile: Profile) -> None:
    from apache_beam.io.filesystems import FileSystems
    from tensorflow_metadata.proto.v0 import statistics_pb2

    with FileSystems.open(f"{target}/{STATISTICS}") as file:
        content = file.read()
    profile.statistics = statistics_pb2.DatasetFeatureStatisticsList.FromString(content)
    with FileSystems.open(f"{target}/{NOTES}") as file:
        parts = json.loads(file.read())
    for _, texts, infinities in parts:
        later = Notes({name: TextNumbers(**seen) for name, seen in texts.items()})
        later.infinities.update(infinities)
        profile.notes.merge(later)
