"""Keep a blessed model as an immutable version."""
