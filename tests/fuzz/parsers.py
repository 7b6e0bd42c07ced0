"""Bytes against the parsers, by coverage: `python tests/fuzz/parsers.py --model_dir DIR`.

Other flags are libFuzzer's, such as `-atheris_runs=200000` or `-max_len=4096`. A parser reads a
body, or refuses it with a `Refusal`; whatever else it raises ends the run with the input.
"""

import argparse
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["shipway.components.predictor"]):
    from shipway.components.lib.model_package import load_package
    from shipway.components.predictor.engine import Engine
    from shipway.components.predictor.refusals import Refusal
    from shipway.components.predictor.v1 import V1, V1Explain
    from shipway.components.predictor.v2 import V2

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.fuzz.bodies import Requests


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--model_dir", type=Path, required=True, help="a model package")
    flags, rest = parser.parse_known_args()
    package = load_package(flags.model_dir)
    engine = Engine(package)
    protocols = [V1(engine), V1Explain(engine), V2(engine)]
    columns = [(feature.name, feature.dtype) for feature in package.signature.features]
    rows = [{name: row[name] for name, _ in columns} for row in package.golden["rows"]]

    def custom(data: bytes, max_size: int, seed: int) -> bytes:
        """Half of the inputs are mutated bytes, half are requests that were broken on purpose."""
        if seed % 2:
            return atheris.Mutate(data, max_size)
        request = Requests("m", columns, rows, seed).next()
        head = b"\2\0\0" if "infer" in request.path else b"\0\0\0"
        return (head + request.body)[:max_size]

    def one(data: bytes) -> None:
        """The first byte chooses the protocol, the next two the length of the JSON, 0 for all."""
        if len(data) < 3:
            return
        length = int.from_bytes(data[1:3], "little") or None
        protocol = protocols[data[0] % len(protocols)]
        try:
            question = protocol.read(data[3:], length)
        except Refusal as refusal:
            assert 400 <= refusal.status < 500 and refusal.message
            return
        protocol.answer(question, engine.score(question.batch.features))

    atheris.Setup([sys.argv[0], *rest], one, custom_mutator=custom)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
