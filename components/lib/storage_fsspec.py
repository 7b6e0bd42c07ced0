"""Tables in any other place that fsspec knows: Azure (az://), HDFS, SFTP, ..."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from shipway.components.lib.errors import DataError, nearest
from shipway.components.lib.objects import StoredObject, changed, fixed_part, is_visible
from shipway.components.lib.ranged_file import PassingFailure, open_ranged, patiently

# What the file systems call the state of a file, the surest first.
STATES = (
    "etag",
    "ETag",
    "version_id",
    "generation",
    "mtime",
    "last_modified",
    "LastModified",
    "modified",
    "created",
)
KNOWN = ("file", "gs", "s3", "http", "https", "az", "abfs", "hdfs", "sftp")


class FsspecObjects:
    """The objects of a file system; its credentials come from the environment."""

    def listed(self, uri: str) -> list[StoredObject]:
        """The objects that a URI names."""
        return patiently(uri, lambda: _listed(uri))

    def opened(self, stored: StoredObject) -> BinaryIO:
        """An object, which must be unchanged."""
        system, path = _place(stored.uri)

        def fetch(first: int, last: int) -> bytes:
            with explained(stored.uri):
                return bytes(system.cat_file(path, start=first, end=last))

        self.check_unchanged(stored)
        return open_ranged(stored, fetch)

    def check_unchanged(self, stored: StoredObject) -> None:
        """Refuse an object that was written to since it was listed.

        Raises:
            DataError: its state or size is another one.
        """

        def now() -> StoredObject:
            system, path = _place(stored.uri)
            with explained(stored.uri):
                system.invalidate_cache()
                return _stored(stored.uri, system.info(path))

        if patiently(stored.uri, now) != stored:
            raise changed(stored.uri)


def _place(uri: str) -> tuple[Any, str]:
    """The file system of a URI, and the path in it.

    Raises:
        DataError: its package is not installed, or nobody knows its scheme.
    """
    import fsspec
    from fsspec.registry import known_implementations

    scheme = uri.split("://", 1)[0]
    try:
        with explained(uri):
            return fsspec.core.url_to_fs(uri)  # type: ignore[no-any-return]
    except ImportError as error:
        known = known_implementations.get(scheme, {})
        package = known.get("err") or str(error)
        raise DataError(
            f"'{uri}' needs a package that is not installed: {package}. Install it where this step "
            "runs, or copy the table to a folder, gs:// or s3://."
        ) from error
    except ValueError as error:
        raise DataError(
            f"'{uri}' has the scheme '{scheme}://', which cannot be read ({error}); use a path, "
            f"file://, gs://, s3://, https:// or another that fsspec knows.{nearest(scheme, KNOWN)}"
        ) from error


def _listed(uri: str) -> list[StoredObject]:
    system, path = _place(uri)
    before = uri.rstrip("/").removesuffix(path)  # such as hdfs://host:port, which a path lacks
    folder = ""
    with explained(uri):
        system.invalidate_cache()
        if system.isfile(path):
            names = [path]
        elif fixed_part(path) != path:
            names = [name for name in system.glob(path) if system.isfile(name)]
        else:
            names, folder = system.find(path), path
        # What a listing says of a file's state may differ in form from what the file says.
        system.invalidate_cache()
        return [
            _stored(before + name, system.info(name))
            for name in names
            if name == path or _is_visible(name, folder)
        ]


def _is_visible(name: str, folder: str) -> bool:
    return is_visible(name[len(folder) :].lstrip("/") if folder else name.rpartition("/")[2])


def _stored(uri: str, about: dict[str, Any]) -> StoredObject:
    state = next((about[name] for name in STATES if about.get(name)), "")
    return StoredObject(uri, int(about["size"]), str(state))


@contextmanager
def explained(uri: str) -> Iterator[None]:
    """Turn a file system's errors into ours.

    Raises:
        DataError: the object cannot be read.
        PassingFailure: it may be readable later.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(
            f"'{uri}' cannot be read: there is no such object. Check the spelling, and that nobody "
            "replaces it while it is read."
        ) from error
    except PermissionError as error:
        raise DataError(
            f"'{uri}' cannot be read: access was refused ({error}). Give the account that runs "
            "this step leave to read it."
        ) from error
    except OSError as error:
        raise PassingFailure(f"the file system failed ({error})") from error
