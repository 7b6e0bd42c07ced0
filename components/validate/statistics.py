"""TFDV statistics of a Dataset: the same protos by two routes.

- Streamed, the default: Arrow row groups straight into TFDV's own generators, in this process and
  constant memory. It is the fastest route on one machine at every size that was measured: of two
  million rows of 25 columns it takes some 10 s of CPU, Beam's direct runner 16 s and
  `tfdv.generate_statistics_from_csv` more than a hundred.
- Apache Beam, where `beam_pipeline_args` name a runner: for tables that one machine is too slow
  for. See `beam_route.py`.

What depends on the size: above 400 columns the histograms have fewer buckets, and above twenty
million cells distinct numbers are counted only where a column may be an identifier (`facts.py`).
Slices are filtered and streamed by either route: Beam's slice functions take 25 times as long.
TFDV is imported in this package only, and inside functions; it works alike in 1.16 and 1.21.
"""

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from shipway.components.lib.errors import ConfigurationError
from shipway.components.lib.tables import read_schema
from shipway.components.validate.casting import plan_casts
from shipway.components.validate.chunks import plan_chunks, read_chunks
from shipway.components.validate.profile import Profile, prepare

logger = logging.getLogger(__name__)

BUCKETS, WIDE_BUCKETS, WIDE_COLUMNS = 10, 2, 400


def import_tfdv() -> Any:
    """TFDV, imported without TensorFlow's and Beam's chatter; 4 to 13 s of CPU the first time."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    quiet = [logging.getLogger(), logging.getLogger("absl"), logging.getLogger("tensorflow")]
    levels = [other.level for other in quiet]
    # On import TFDV prints that it has no IPython, which nothing here needs.
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        for other in quiet:
            other.setLevel(logging.ERROR)
        try:
            import tensorflow_data_validation as tfdv
        finally:
            for other, level in zip(quiet, levels, strict=True):
                other.setLevel(level)
    logger.debug("TFDV %s", tfdv.__version__)
    return tfdv


def stats_options(columns: int, schema: Any = None) -> Any:
    """TFDV's options, alike for every route.

    Args:
        columns: how many the table has.
        schema: a TFDV Schema that says how columns are meant, or None.
    """
    # TFDV takes 100 quantiles for each bucket, in Python: 17 ms a numeric column by default.
    buckets = WIDE_BUCKETS if columns > WIDE_COLUMNS else BUCKETS
    tfdv = import_tfdv()
    if schema is not None:
        # TFDV would measure whole numbers of a bool_domain as texts, and then hold them to nothing.
        schema, given = type(schema)(), schema
        schema.CopyFrom(given)
        for feature in schema.feature:
            feature.ClearField("bool_domain")
    return tfdv.StatsOptions(schema=schema, num_quantiles_histogram_buckets=buckets)


def begin(path: Path, sample_rows: int = 0) -> Profile:
    """A profile in which nothing is measured yet.

    Raises:
        ConfigurationError: `sample_rows` is negative.
        DataError: the directory is missing or empty.
    """
    if sample_rows < 0:
        raise ConfigurationError(f"sample_rows={sample_rows} must be 0 (all rows) or more.")
    chunks = plan_chunks(path, sample_rows)
    rows, table_rows = sum(c.taken for c in chunks), sum(c.rows for c in chunks)
    return Profile(None, rows, table_rows, plan_casts(read_schema(path)), chunks)


def measure(path: Path, schema: Any = None, sample_rows: int = 0) -> Profile:
    """Measure a Dataset directory in one pass, streamed.

    Args:
        path: the Dataset.
        schema: a TFDV Schema that says how columns are meant, or None.
        sample_rows: rows to measure at most; 0 for all.

    Raises:
        ConfigurationError: `sample_rows` is negative.
        DataError: the directory is missing or empty.
    """
    profile = begin(path, sample_rows)
    batches = (
        prepare(batch, profile.casts, chunk.row_numbers(), profile.notes)
        for chunk, batch in read_chunks(path, profile.chunks)
    )
    options = stats_options(len(profile.casts), schema)
    profile.statistics = Stream(options).measured(batches)
    profile.notes.settle()
    profile.route = (
        f"The {profile.rows:,} rows were streamed through TFDV's generators in one process, the "
        "fastest route on one machine. beam_pipeline_args hand the work to a cluster."
    )
    return profile


class Stream:
    """TFDV's generators over batches that come one by one."""

    def __init__(self, options: Any) -> None:
        """Begin with no rows."""
        from tensorflow_data_validation.statistics import stats_impl
        from tfx_bsl.arrow import table_util

        self._extract = stats_impl.extract_statistics_output
        self._canonical = table_util.CanonicalizeRecordBatch
        self._generators = stats_impl.get_generators(options, in_memory=True)
        self._totals = [generator.create_accumulator() for generator in self._generators]

    def add(self, batch: pa.RecordBatch) -> None:
        """Take in the rows of a prepared batch."""
        with _without_warnings():
            ready = self._canonical(batch)
            pairs = zip(self._generators, self._totals, strict=True)
            self._totals = [generator.add_input(total, ready) for generator, total in pairs]

    def finished(self) -> Any:
        """The DatasetFeatureStatisticsList of all that was taken in."""
        with _without_warnings():
            return self._extract(self._totals, self._generators)

    def measured(self, batches: Iterator[pa.RecordBatch] | Sequence[pa.RecordBatch]) -> Any:
        """The statistics of some batches."""
        for batch in batches:
            self.add(batch)
        return self.finished()


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    # NumPy warns of means of nothing, which TFDV then leaves out.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield
