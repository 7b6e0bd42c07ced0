#!/bin/sh
# Take out of /opt/venv what no step reads, and write the bytecode of the rest: a container's root is
# read-only, so nothing can write it later. What each package declares it needs stays. In the end a
# bill of materials, CycloneDX, is written to the venv.
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

# Descriptions of the services of Amazon's cloud, but for storage and who may use it.
if [ -d botocore ]; then
  find botocore/data -mindepth 1 -maxdepth 1 -type d ! -name s3 ! -name 'sso*' ! -name sts \
    -exec rm -rf {} +
fi

# Symbols for a debugger. The libraries that auditwheel rewrote stay as they are.
find . -name '*.so*' -type f -size +256k -not -path '*.libs/*' -exec strip --strip-unneeded {} +

/opt/venv/bin/python -m compileall -q -j 0 . || true  # templates that are no Python

# Better that a build fails here than a step in a cluster.
/opt/venv/bin/python -c 'import pyarrow.dataset, pyarrow.parquet'

/opt/uv/bin/uv tool run --quiet --python /opt/uv/bin/python --from cyclonedx-bom==7.5.0 \
  cyclonedx-py environment --output-format JSON --output-reproducible \
  --output-file /opt/venv/sbom.cdx.json /opt/venv/bin/python
