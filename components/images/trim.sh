#!/bin/sh
# Take out of /opt/venv what no step reads, then write the bytecode of the rest: a container's root
# is read-only, so nothing can write it later. What each package declares it needs stays.
set -eu
cd "$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

# The packages' own tests, and what others would be compiled against.
for package in numpy pandas pyarrow scipy sklearn; do
  if [ -d "$package" ]; then find "$package" -type d -name tests -prune -exec rm -rf {} +; fi
done
rm -rf numpy/_core/include pyarrow/include tensorflow/include clang
find . -name '*.pyx' -o -name '*.pxd' -o -name '*.pxi' -o -name '*.hpp' | xargs -r rm -f

# Arrow's network protocol, and copies of its libraries under names that only a linker asks for.
rm -f pyarrow/*flight* pyarrow/libarrow*.so pyarrow/libarrow*.so.*.*.*

# Symbols for a debugger. The libraries that auditwheel rewrote stay as they are.
find . -name '*.so*' -type f -size +256k -not -path '*.libs/*' -exec strip --strip-unneeded {} +

/opt/venv/bin/python -m compileall -q -j 0 . || true  # templates that are no Python

# Better that a build fails here than a step in a cluster.
/opt/venv/bin/python -c 'import pyarrow.dataset, pyarrow.parquet'
