"""The KFP face of ingestion."""

from typing import Dict, List

from kfp import dsl
from kfp.dsl import HTML, Dataset, Output

from shipway.components.lib.images import DATA


@dsl.component(base_image=DATA, install_kfp_package=False)
def ingest_table(
    data_uri: str,
    label: str,
    dataset: Output[Dataset],
    datasheet: Output[HTML],
    exclude_columns: List[str] = [],
    query: str = "",
    data_format: str = "auto",
    missing_values: List[str] = [],
    row_limit: int = 0,
    read_options: Dict[str, str] = {},
    maximum_rejected_share: float = 0.0,
    privacy: Dict[str, str] = {},
    pii_action: str = "warn",
    quasi_identifiers: List[str] = [],
    about_data: Dict[str, str] = {},
):
    """Read a table and write it as Parquet; excluded columns are never written.

    A database is postgresql://[USER@]HOST/DATABASE, redshift://, sqlite:///PATH, duckdb:///PATH,
    bigquery://PROJECT[/DATASET] or snowflake://[USER@]ACCOUNT/DATABASE[/SCHEMA]. It is asked by
    `query`, or by ?table=NAME or ?query=SQL at the end of data_uri; SQL stands there as it is, or
    URL-encoded and without spaces. Passwords come from the environment, never from data_uri.
    Folders named KEY=VALUE below data_uri become columns.

    Args:
        data_uri: File, glob or directory, local, gs://, s3:// or https://; or a database.
        label: Column to predict; rows without it are dropped and counted.
        exclude_columns: Columns to leave out.
        query: One SELECT, where data_uri is a database and does not hold it.
        data_format: auto, csv, jsonl, parquet, feather, orc or avro.
        missing_values: Cells to read as missing, beside the usual ones; "fare=-1" in one column.
        row_limit: Rows to read at most; 0 reads all.
        read_options: How text is read: delimiter, encoding, decimal, date_format and others.
        maximum_rejected_share: Of rows to leave out because they cannot be read; 0 stops at one.
        privacy: Policy by column before anything is written: keep, drop, hash, mask, bucket:10.
        pii_action: warn or stop, where personal data is found in a column without a policy.
        quasi_identifiers: Columns that may tell a person together; how well rows hide is counted.
        about_data: Facts for the datasheet: owner, purpose, retention, licence, limits and others.

    Returns:
        dataset: The table, a directory of Parquet parts.
        datasheet: Where the rows came from, and what became of each.
    """
    from pathlib import Path

    from shipway.components.ingest.inspection import Wishes
    from shipway.components.ingest.logic import Request, ingest

    request = Request(
        data_uri, label, exclude_columns, data_format, missing_values, row_limit,
        read_options, maximum_rejected_share, wishes=Wishes(privacy, pii_action, quasi_identifiers),
        about_data=about_data, query=query,
    )  # fmt: skip
    dataset.metadata.update(ingest(request, Path(dataset.path), Path(datasheet.path)))
