"""Short text as counts of its words and pairs of words, in a fixed number of buckets.

The bucket of an n-gram is the CRC-32 (ISO 3309) of its UTF-8 bytes modulo the number of buckets, so
that it is the same in every process, version and language. K. Weinberger et al., "Feature hashing
for large scale multitask learning", ICML 2009, without the signs: trees do not need them.
"""

import re
import zlib
from itertools import pairwise

_WORD = re.compile(r"\w+")


def hashed(text: str, buckets: int) -> list[float]:
    """How often the words and the pairs of neighbouring words of a text fall into each bucket."""
    counts = [0.0] * buckets
    words = _WORD.findall(text.lower())
    for gram in (*words, *map(" ".join, pairwise(words))):
        counts[zlib.crc32(gram.encode("utf-8", "surrogatepass")) % buckets] += 1.0
    return counts
