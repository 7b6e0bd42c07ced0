"""The binary tensor extension of V2: numbers and texts as bytes after the JSON."""

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from shipway.components.predictor.columns import Place
from shipway.components.predictor.refusals import Refusal

EXTENSION = "binary_tensor_data"
_NAMES = {
    "FP64": "<f8",
    "FP32": "<f4",
    "FP16": "<f2",
    **{f"INT{bits}": f"<i{bits // 8}" for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": f"<u{bits // 8}" for bits in (8, 16, 32, 64)},
    "BOOL": "|u1",
}
DTYPES = {datatype: np.dtype(name) for datatype, name in _NAMES.items()}
LENGTH = struct.Struct("<I")

Buffer = bytes | memoryview


class BinaryBody(bytes):
    """An answer of JSON with bytes after it.

    Attributes:
        json_length: how many bytes the JSON has.
    """

    json_length: int


def split(body: bytes, json_length: int) -> tuple[bytes, memoryview]:
    """The JSON of a request, and the bytes after it.

    Raises:
        Refusal: the JSON would be longer than the body.
    """
    if json_length > len(body):
        raise Refusal(
            f"The header 'Inference-Header-Content-Length' says {json_length:,} bytes of JSON, and "
            f"the body has {len(body):,}.",
            cause="shape",
        )
    return body[:json_length], memoryview(body)[json_length:]


def decode(data: Buffer, datatype: str, count: int, what: str, place: Place) -> Any:
    """The cells of a tensor that came as bytes.

    Args:
        data: its bytes.
        datatype: a known one.
        count: how many cells its shape has.
        what: the tensor, for a message.
        place: tells where cell i stands.

    Returns:
        An array of numbers; a list of booleans or of texts.

    Raises:
        Refusal: the bytes are not so many cells of that datatype.
    """
    if datatype == "BYTES":
        return _texts(data, count, what, place)
    expected = count * DTYPES[datatype].itemsize
    if len(data) != expected:
        raise Refusal(
            f"{what} has {count:,} cells of {datatype}, which are {expected:,} bytes; "
            f"{len(data):,} bytes came.",
            cause="datatype",
        )
    array = np.frombuffer(data, DTYPES[datatype])
    if datatype != "BOOL":
        return array
    if array.max(initial=0) > 1:
        index = int((array > 1).argmax())
        raise Refusal(
            f"{place(index)} must be the byte 0 or 1; {array[index]} came.", cause="wrong_type"
        )
    return array.astype(bool).tolist()


def _texts(data: Buffer, count: int, what: str, place: Place) -> list[str]:
    """Texts, each after its length in four bytes, lowest first."""
    texts: list[str] = []
    at, end = 0, len(data)
    data = bytes(data)
    while at < end:
        if len(texts) == count:
            raise Refusal(
                f"{what} has {count:,} cells, and {end - at:,} bytes after the last.", cause="shape"
            )
        start = at + 4
        if start > end:
            raise Refusal(
                f"{place(len(texts))}: {end - at} bytes are left for its length, which takes 4.",
                cause="shape",
            )
        at = start + LENGTH.unpack_from(data, at)[0]
        if at > end:
            raise Refusal(
                f"{place(len(texts))} says that it is {at - start:,} bytes long, and "
                f"{end - start:,} are left. A text stands after its length, four bytes, lowest "
                "first.",
                cause="shape",
            )
        texts.append(text_of(data[start:at], len(texts), place))
    if len(texts) != count:
        raise Refusal(f"{what} has {count:,} cells; its bytes hold {len(texts):,}.", cause="shape")
    return texts


def text_of(content: bytes, index: int, place: Place) -> str:
    """Bytes as text.

    Raises:
        Refusal: they are not UTF-8.
    """
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise Refusal(
            f"{place(index)} must be text in UTF-8; {content[:20]!r} came.", cause="malformed"
        ) from None


def encode_text(text: str) -> bytes:
    """A text after its length."""
    content = text.encode()
    return LENGTH.pack(len(content)) + content


def encode(data: Sequence[str] | np.ndarray) -> bytes:
    """Texts, or float64, as the bytes of a tensor."""
    if isinstance(data, np.ndarray):
        return np.ascontiguousarray(data, dtype="<f8").tobytes()
    known = {text: encode_text(text) for text in set(data)}
    return b"".join([known[text] for text in data])
