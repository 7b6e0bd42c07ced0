"""Checkpoints: a training that was cut off goes on where it was, if nothing changed meanwhile.

A checkpoint is a file `{key}-{round}`: a SHA-256 of what follows, a line of JSON with the losses so
far, and the booster. The key stands for data, plan and parameters. XGBoost keeps no state of what
it draws, so a model that samples rows or columns differs after a resumption; one that does not is
the same. Of a bag each member has a key of its own, and stays when it is finished.
"""

import hashlib
import json
import logging
import os
import re
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb
from xgboost import collective

from shipway.components import __version__
from shipway.components.lib.errors import ShipwayError, WorkerError
from shipway.components.lib.files import sha256_of
from shipway.components.lib.parameters import Settings
from shipway.components.train.folder import folder_at

SECONDS = 60.0  # between two checkpoints
NAME = re.compile(r"[0-9a-f]{32}-([0-9]{8}|final)")
_log = logging.getLogger(__name__)

Curves = dict[str, list[float]]


@dataclass(frozen=True)
class State:
    """How far a training had come.

    Attributes:
        booster: with all its rounds.
        curves: losses of training and validation by round.
        metric: XGBoost's name of the loss; empty in a final state.
        finished: whether the booster is the final one, cut at its best round.
    """

    booster: xgb.Booster
    curves: Curves
    metric: str
    finished: bool


class Checkpoints:
    """The checkpoints of one training.

    Attributes:
        address: where they stand.
        resumed_at: the round that it went on from; 0 where it began anew.
    """

    def __init__(self, address: str, key: Callable[[], str], writes: bool = True) -> None:
        """Keep checkpoints at an address.

        Args:
            address: a directory, or a prefix of a bucket, for this training alone.
            key: stands for data, plan and parameters; asked for when it is needed.
            writes: whether this process writes them.
        """
        self.address = address
        self._folder = folder_at(address)
        self._ask_key = key
        self._writes = writes
        self._shares = False  # the address, with those of other boosters
        self.resumed_at = 0

    def member(self, number: int) -> "Checkpoints":
        """The checkpoints of one booster of several, at the same address."""
        one = Checkpoints(self.address, lambda: _hash(f"{self.key} {number}"), self._writes)
        one._shares = True
        return one

    @cached_property
    def key(self) -> str:
        """What every checkpoint of this training is named by."""
        return self._ask_key()

    def latest(self) -> State | None:
        """The last whole checkpoint of this very training.

        Raises:
            WorkerError: the workers of a distributed training found different ones.
        """
        found = None
        try:
            if self._folder is not None and self._standing():
                names = sorted(self._folder.names(f"{self.key}-"), reverse=True)
                found = next(filter(None, map(self._read, names)), None)
        except (OSError, ShipwayError) as error:
            _log.warning("checkpoints cannot be read, so training begins anew: %s", error)
        rounds = found.booster.num_boosted_rounds() if found else 0
        if collective.is_distributed():
            ends = [
                int(collective.allreduce(np.array([rounds]), how)[0])
                for how in (collective.Op.MIN, collective.Op.MAX)
            ]
            if ends[0] != ends[1]:
                raise WorkerError(f"The workers found checkpoints of {ends} rounds. Run it again.")
        self.resumed_at = rounds
        return found

    def _read(self, name: str) -> State | None:
        assert self._folder is not None
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / name
            self._folder.fetch(name, file)
            content = file.read_bytes()
        digest, body = content[:64], content[64:]
        if hashlib.sha256(body).hexdigest().encode() != digest:
            _log.warning("checkpoint %s is not whole and is passed over", name)
            return None
        head, _, raw = body.partition(b"\n")
        return State(xgb.Booster(model_file=bytearray(raw)), **json.loads(head))

    def save(self, booster: xgb.Booster, curves: Curves, metric: str = "") -> None:
        """Keep a state in the place of the one before; where that fails, training goes on.

        Args:
            booster: with all its rounds.
            curves: losses of training and validation by round.
            metric: XGBoost's name of the loss; empty of a booster that is finished.
        """
        if not self._writes or self._folder is None:
            return
        try:
            self._save(booster, curves, metric)
        except (OSError, ShipwayError) as error:
            self._folder = None
            _log.warning("no checkpoint is kept: %s", error)

    def finish(self, booster: xgb.Booster, curves: Curves) -> None:
        """Keep the final state, for another process.

        Raises:
            WorkerError: it cannot be written to the address.
            StoreError: the bucket refuses it.
        """
        if self._folder is None:
            raise WorkerError(
                "The model cannot be handed over: artifacts of a training with several workers "
                "must be in gs:// or s3:// (a MinIO with AWS_ENDPOINT_URL set)."
            )
        if self._writes:
            self._save(booster, curves)

    def _save(self, booster: xgb.Booster, curves: Curves, metric: str = "") -> None:
        assert self._folder is not None
        finished = not metric
        head = json.dumps({"curves": curves, "metric": metric, "finished": finished}).encode()
        body = head + b"\n" + booster.save_raw("ubj")
        # A final state comes after every other one, of however many rounds.
        name = f"{self.key}-{'final' if finished else f'{booster.num_boosted_rounds():08d}'}"
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / name
            file.write_bytes(hashlib.sha256(body).hexdigest().encode() + body)
            self._folder.create(name, file)
        self._remove_but(name)

    def clear(self) -> None:
        """Leave nothing: the step has written what it is for."""
        try:
            if self._writes:
                self._remove_but("")
        except (OSError, ShipwayError) as error:
            _log.warning("a checkpoint is left: %s", error)

    def _standing(self) -> list[str]:
        """Checkpoints at the address, of whichever training; what is none is not ours."""
        names = self._folder.names("") if self._folder is not None else []
        return [name for name in names if NAME.fullmatch(name)]

    def _remove_but(self, name: str) -> None:
        for one in self._standing():
            mine = one.startswith(self.key) if self._shares else True
            if mine and one != name and self._folder is not None:
                self._folder.remove(one)


class Recorder(xgb.callback.TrainingCallback):  # type: ignore[misc]  # no stubs
    """Keeps a checkpoint now and then."""

    def __init__(self, kept: Checkpoints, before: Curves) -> None:
        """Record to some checkpoints.

        Args:
            kept: where they go.
            before: losses of the rounds that an earlier process made.
        """
        super().__init__()
        self._kept, self._before, self._last = kept, before, time.monotonic()

    def after_iteration(self, model: xgb.Booster, epoch: int, evals_log: Any) -> bool:
        """Keep one when it is time."""
        if time.monotonic() - self._last >= SECONDS:
            metric = next(iter(evals_log["validation"]))
            self._kept.save(model, joined(self._before, evals_log), metric)
            self._last = time.monotonic()
        return False


def joined(before: Curves, history: Mapping[str, Mapping[str, Sequence[float]]]) -> Curves:
    """Losses of earlier rounds and of later ones."""
    return {
        name: [*before.get(name, []), *next(iter(values.values()))]
        for name, values in history.items()
    } or before


def stopping_after(patience: int, begun: State | None) -> xgb.callback.EarlyStopping:
    """Early stopping that has seen the rounds of an earlier process."""
    stopping = xgb.callback.EarlyStopping(rounds=patience)
    if begun is not None:
        for index in range(begun.booster.num_boosted_rounds()):
            seen = {n: {begun.metric: c[: index + 1]} for n, c in begun.curves.items()}
            stopping.after_iteration(begun.booster, index, seen)
    return stopping


def address_for(model: str, model_name: str) -> str:
    """Where the checkpoints of a training stand: beside its output, or in a folder for all.

    A step that Kubeflow tries again has the same outputs; a run on one machine has new ones, so it
    names a folder.
    """
    folder = os.environ.get("SHIPWAY_CHECKPOINTS")
    place = f"{folder.rstrip('/')}/{model_name}" if folder else model.rstrip("/")
    return f"{place}.checkpoints"


def fingerprint(inputs: Sequence[Path], settings: Settings, *more: object) -> str:
    """Stands for all that decides which booster comes out: data, plan, parameters and code."""
    digest = hashlib.sha256()
    for path in inputs:
        for file in sorted(path.glob("*.parquet")) if path.is_dir() else [path]:
            digest.update(sha256_of(file).encode())
        digest.update(b"|")
    values = [repr(getattr(settings, field.name)) for field in fields(settings)]
    values += [str(one) for one in more]
    digest.update("|".join([*values, xgb.__version__, __version__]).encode())
    return digest.hexdigest()[:32]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
