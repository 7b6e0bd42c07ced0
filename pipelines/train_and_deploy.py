"""The main pipeline: from a table to a proven endpoint, with a gate before each costly step."""

from typing import Dict, List

from kfp import dsl, kubernetes

from shipway.components.alert.component import send_alert
from shipway.components.bless.component import bless_model
from shipway.components.deploy.component import deploy_model
from shipway.components.evaluate.component import evaluate_model
from shipway.components.explain.component import explain_model
from shipway.components.features.component import fit_features
from shipway.components.ingest.component import ingest_table
from shipway.components.model_card.component import write_model_card
from shipway.components.probe.component import probe_endpoint
from shipway.components.register.component import register_model
from shipway.components.release.component import release_model
from shipway.components.split.component import split_table
from shipway.components.train.component import train_model
from shipway.components.tune.component import tune_model
from shipway.components.validate.component import validate_table

# What reads a database or a bucket may take from the Secret 'shipway-source'; none is needed where
# the account of the pod has access.
_SOURCE_CREDENTIALS = (
    "PGPASSWORD",
    "SNOWFLAKE_USER",
    "SNOWFLAKE_PASSWORD",
    "SNOWFLAKE_TOKEN",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
)


def _heavy(task: dsl.PipelineTask, cpu: str, memory: str) -> dsl.PipelineTask:
    """Resources and retries of a step that holds the table in memory."""
    task.set_cpu_request("1").set_cpu_limit(cpu).set_memory_request("2Gi").set_memory_limit(memory)
    return task.set_retry(2, backoff_duration="30s", backoff_factor=2.0)


def _uncached(task: dsl.PipelineTask) -> dsl.PipelineTask:
    """A step whose work stands outside the run: a cache hit would skip it."""
    task.set_caching_options(False)
    return task


@dsl.pipeline(
    name="train-and-deploy",
    display_name="Train and deploy a tabular model",
    description="Table in, proven KServe endpoint out; each gate stops the run with its reasons.",
)
def train_and_deploy(
    data_uri: str,
    label: str,
    model_name: str,
    model_store: str,
    exclude_columns: List[str] = [],
    task: str = "auto",
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
    schema_uri: str = "",
    allowed_anomalies: List[str] = [],
    anomaly_severity: Dict[str, str] = {},
    sample_rows: int = 0,
    beam_pipeline_args: List[str] = [],
    split_strategy: str = "auto",
    time_column: str = "",
    group_column: str = "",
    validation_fraction: float = 0.15,
    test_fraction: float = 0.2,
    accepted_leaks: List[str] = [],
    key_columns: List[str] = [],
    training_parameters: Dict[str, float] = {},
    quality: str = "standard",
    tuning_seconds: int = 0,
    tuning_trials: int = 0,
    tuner: str = "optuna",
    objective: str = "auto",
    weight_column: str = "",
    monotone_constraints: Dict[str, float] = {},
    interaction_constraints: List[List[str]] = [],
    training_device: str = "cpu",
    training_workers: int = 1,
    threshold_rule: str = "f1",
    slice_columns: List[str] = [],
    protected_columns: List[str] = [],
    minimum_metrics: Dict[str, float] = {},
    maximum_metrics: Dict[str, float] = {},
    features_uri: str = "",
    feature_selection: str = "none",
    gates_uri: str = "",
    owner_uri: str = "",
    registries: Dict[str, str] = {},
    serving_target: str = "kserve",
    serving_namespace: str = "",
    serving_mode: str = "",
    serving_account: str = "",
    serving_replicas: int = 1,
    traffic_steps: List[int] = [100],
    bake_seconds: float = 0.0,
    maximum_error_rate: float = 0.0,
    maximum_latency_ms: float = 0.0,
    endpoint_port: int = 8080,
    seed: int = 0,
):
    """Train a model on a table and deploy it once every gate has passed.

    Args:
        data_uri: File, glob or directory, local, gs://, s3:// or https://; or a database.
        label: Column to predict.
        model_name: Name of the model and of its endpoint.
        model_store: Directory, or gs:// or s3:// prefix, that keeps the model versions.
        exclude_columns: Columns that must not be used, such as those known only afterwards.
        task: auto, binary, multiclass, regression or ranking (by group_column).
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
        schema_uri: Reviewed schema.pbtxt; empty infers one.
        allowed_anomalies: Findings in the data that may stand, COLUMN:KIND or COLUMN:*.
        anomaly_severity: stop, warn or ignore by kind of finding.
        sample_rows: Rows that statistics are taken of at most; 0 takes all.
        beam_pipeline_args: Apache Beam's, with --runner=...; empty streams without Beam.
        split_strategy: auto, hash, stratified, time or group.
        time_column: Column that orders the rows in time.
        group_column: Column whose values never straddle splits; of a ranking the query.
        validation_fraction: Share of rows that choose rounds, threshold and calibration.
        test_fraction: Share of rows read once, for the evaluation.
        accepted_leaks: Columns that the leakage gate may report but not stop for.
        key_columns: Columns that together name a row; none may stand in training and in the test.
        training_parameters: XGBoost parameters by name; empty takes the defaults.
        quality: fast (larger steps), standard, or best (a bag of folds, merged into one model).
        tuning_seconds: Seconds to search those that are not set; 0 does not search.
        tuning_trials: Trials at most; 0 leaves the end to the time; of Katib 200.
        tuner: optuna, or katib, whose trials are pods of the cluster.
        objective: auto; of a regression squared, absolute, quantile, poisson, tweedie or gamma.
        weight_column: Column that weighs rows in training; not a feature.
        monotone_constraints: 1 or -1 by column: predictions may only rise or fall with it.
        interaction_constraints: Groups of columns that may act together.
        training_device: cpu, cuda or auto.
        training_workers: Pods, or processes on one machine, that train together.
        threshold_rule: f1, cost=FP:FN, precision>=P, recall>=R or share<=S; binary only.
        slice_columns: Columns whose values are looked at one by one; empty chooses some.
        protected_columns: Columns whose groups are held against each other for fairness.
        minimum_metrics: Lower bounds by metric name.
        maximum_metrics: Upper bounds by metric name.
        features_uri: File of kinds by column (features.yaml), or its text.
        feature_selection: none, or shadow: drop columns that tell no more than shuffled ones.
        gates_uri: File of gate rules and overrides (gates.yaml), or its text.
        owner_uri: File with owner, intended use and limits for the model card, or its text.
        registries: Other registries to tell of a version: mlflow or kubeflow, and its URL.
        serving_target: kserve, or local for a server process on this machine.
        serving_namespace: Namespace of the InferenceService; empty takes the run's.
        serving_mode: Knative or Standard for a first deployment; empty takes the cluster's.
        serving_account: Service account that reads the model; empty takes the namespace's default.
        serving_replicas: Model servers at least.
        traffic_steps: Shares of the traffic in percent that a new version gets, rising to 100.
        bake_seconds: How long a new version is watched at each step.
        maximum_error_rate: Share of the watch's requests that may fail.
        maximum_latency_ms: Upper bound of the 95th percentile of a single row; 0 reports only.
        endpoint_port: Port of a local endpoint.
        seed: Seed of everything that draws.
    """
    alert = _uncached(send_alert(model_name=model_name, model_store=model_store))
    kubernetes.use_secret_as_env(
        alert,
        secret_name="shipway-alert",
        secret_key_to_env={"webhook": "SHIPWAY_ALERT_WEBHOOK"},
        optional=True,
    )
    with dsl.ExitHandler(alert, name="lifecycle"):
        ingested = _uncached(
            ingest_table(
                data_uri=data_uri,
                label=label,
                exclude_columns=exclude_columns,
                query=query,
                data_format=data_format,
                missing_values=missing_values,
                row_limit=row_limit,
                read_options=read_options,
                maximum_rejected_share=maximum_rejected_share,
                privacy=privacy,
                pii_action=pii_action,
                quasi_identifiers=quasi_identifiers,
                about_data=about_data,
            )
        )
        kubernetes.use_secret_as_env(
            ingested,
            secret_name="shipway-privacy",
            secret_key_to_env={"key": "SHIPWAY_PRIVACY_KEY"},
            optional=True,
        )
        kubernetes.use_secret_as_env(
            ingested,
            secret_name="shipway-source",
            secret_key_to_env={name: name for name in _SOURCE_CREDENTIALS},
            optional=True,
        )
        _heavy(ingested, cpu="2", memory="4Gi")
        dataset = ingested.outputs["dataset"]
        validated = validate_table(
            dataset=dataset,
            label=label,
            schema_uri=schema_uri,
            allowed_anomalies=allowed_anomalies,
            anomaly_severity=anomaly_severity,
            slice_columns=slice_columns,
            sample_rows=sample_rows,
            beam_pipeline_args=beam_pipeline_args,
            task=task,
        )
        _heavy(validated, cpu="2", memory="8Gi")
        with dsl.If(validated.outputs["Output"] == "pass", name="data-is-valid"):
            split = split_table(
                dataset=dataset,
                label=label,
                split_strategy=split_strategy,
                time_column=time_column,
                group_column=group_column,
                validation_fraction=validation_fraction,
                test_fraction=test_fraction,
                task=task,
                accepted_leaks=accepted_leaks,
                key_columns=key_columns,
            )
            _heavy(split, cpu="2", memory="8Gi")
            with dsl.If(split.outputs["Output"] == "pass", name="no-leak-found"):
                fitted = fit_features(
                    train=split.outputs["train"],
                    validation=split.outputs["validation"],
                    label=label,
                    schema=validated.outputs["schema"],
                    task=task,
                    time_column=time_column,
                    group_column=group_column,
                    weight_column=weight_column,
                    seed=seed,
                    features_uri=features_uri,
                    feature_selection=feature_selection,
                    monotone_constraints=monotone_constraints,
                    interaction_constraints=interaction_constraints,
                )
                _heavy(fitted, cpu="2", memory="8Gi")
                # Trials are of the very models that are trained.
                learning = {
                    "train": split.outputs["train"],
                    "validation": split.outputs["validation"],
                    "plan": fitted.outputs["plan"],
                    "quality": quality,
                    "objective": objective,
                    "device": training_device,
                    "monotone_constraints": monotone_constraints,
                    "interaction_constraints": interaction_constraints,
                    "time_column": time_column,
                    "seed": seed,
                }
                tuned = tune_model(
                    **learning,
                    time_budget_seconds=tuning_seconds,
                    trial_budget=tuning_trials,
                    tuner=tuner,
                    parameters=training_parameters,
                )
                _heavy(tuned, cpu="4", memory="16Gi")
                trained = train_model(
                    **learning,
                    model_name=model_name,
                    parameters=tuned.outputs["Output"],
                    workers=training_workers,
                    threshold_rule=threshold_rule,
                )
                _heavy(trained, cpu="4", memory="16Gi")
                evaluated = evaluate_model(
                    model=trained.outputs["model"],
                    test=split.outputs["test"],
                    train=split.outputs["train"],
                    validation=split.outputs["validation"],
                    slice_columns=slice_columns,
                    protected_columns=protected_columns,
                    time_column=time_column,
                    seed=seed,
                )
                _heavy(evaluated, cpu="2", memory="8Gi")
                blessed = bless_model(
                    evaluation=evaluated.outputs["evaluation"],
                    model=trained.outputs["model"],
                    test=split.outputs["test"],
                    model_name=model_name,
                    model_store=model_store,
                    minimum_metrics=minimum_metrics,
                    maximum_metrics=maximum_metrics,
                    gates_uri=gates_uri,
                )
                # The champion that it compares with stands in the store, outside the cache's key.
                _heavy(_uncached(blessed), cpu="2", memory="8Gi")
                explained = explain_model(
                    model=trained.outputs["model"],
                    test=split.outputs["test"],
                    slice_columns=slice_columns,
                    seed=seed,
                )
                _heavy(explained, cpu="2", memory="8Gi")
                # A rejected model gets its card, too: it says why.
                carded = _uncached(
                    write_model_card(
                        model=trained.outputs["model"],
                        dataset=dataset,
                        data_decision=validated.outputs["decision"],
                        leakage_decision=split.outputs["decision"],
                        evaluation=evaluated.outputs["evaluation"],
                        explanation=explained.outputs["explanation"],
                        decision=blessed.outputs["decision"],
                        owner_uri=owner_uri,
                    )
                )
                with dsl.If(blessed.outputs["Output"] == "blessed", name="model-is-blessed"):
                    registered = _uncached(
                        register_model(
                            model=trained.outputs["model"],
                            evaluation=evaluated.outputs["evaluation"],
                            decision=blessed.outputs["decision"],
                            card=carded.outputs["card"],
                            model_name=model_name,
                            model_store=model_store,
                            registries=registries,
                        )
                    )
                    deployed = _uncached(
                        deploy_model(
                            version=registered.output,
                            model_name=model_name,
                            model_store=model_store,
                            serving_target=serving_target,
                            endpoint_port=endpoint_port,
                            namespace=serving_namespace,
                            deployment_mode=serving_mode,
                            service_account=serving_account,
                            replicas=serving_replicas,
                            traffic_steps=traffic_steps,
                        )
                    )
                    kubernetes.use_field_path_as_env(
                        deployed, env_name="POD_NAMESPACE", field_path="metadata.namespace"
                    )
                    probed = _uncached(
                        probe_endpoint(
                            serving_record=deployed.outputs["serving_record"],
                            model=trained.outputs["model"],
                            maximum_latency_ms=maximum_latency_ms,
                        )
                    )
                    released = _uncached(
                        release_model(
                            serving_record=deployed.outputs["serving_record"],
                            probe_decision=probed.outputs["decision"],
                            model_name=model_name,
                            model_store=model_store,
                            traffic_steps=traffic_steps,
                            bake_seconds=bake_seconds,
                            maximum_error_rate=maximum_error_rate,
                            maximum_latency_ms=maximum_latency_ms,
                        )
                    )
                    kubernetes.use_field_path_as_env(
                        released, env_name="POD_NAMESPACE", field_path="metadata.namespace"
                    )
