"""Objects on an S3 server (MinIO, SeaweedFS, a cloud's): the second implementation of `Store`.

Two endpoints: bytes go over the internal one, download links are signed for the public one, since the host is part of a
signature. The region is set, so signing asks nobody. The SHA-256 travels as metadata and is checked by whoever reads.
Transient errors of server or network are retried for half a minute, here and nowhere else; a download that breaks
goes on where it broke. Uploads of several parts that were killed are for the server's own rules to clear away (MinIO: a
day).
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast
from urllib.parse import quote

import urllib3
from minio import Minio
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from urllib3.exceptions import HTTPError

from pipelines.core.settings import Settings
from pipelines.core.storage.store import (
    CHUNK_BYTES,
    CheckedStream,
    Listed,
    ObjectMissing,
    Source,
    Stored,
    StoreError,
    check_key,
    check_prefix,
    is_key,
    source_stream,
)

WAITS_S = (0.2, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
"""Seconds between tries, 21.7 in all: a server that restarts is back within them."""
CONNECT_S, READ_S = 5.0, 60.0
"""Most seconds to connect, and to wait for the next bytes."""
PART_BYTES = 8 << 20
"""An upload holds three such parts in memory."""
TRANSIENT_CODES = {"InternalError", "ServiceUnavailable", "SlowDown", "SlowDownWrite", "SlowDownRead", "RequestTimeout"}
SHA256 = "x-amz-meta-sha256"

T = TypeVar("T")


class S3Store:
    """Objects in one private bucket. Threads may share it, processes may not: it keeps connections."""

    def __init__(self, settings: Settings, waits_s: Sequence[float] = WAITS_S) -> None:
        self.bucket, self.endpoint = settings.s3_bucket, settings.s3_endpoint_internal
        self.waits_s = waits_s
        self.page_keys = 1000  # as many as a server gives in one answer
        self.client = _client(settings, settings.s3_endpoint_internal)
        self.public = _client(settings, settings.s3_endpoint_public)

    def put(self, key: str, source: Source) -> Stored:
        """See `Store`. Returns once the server says that it has as many bytes as were sent."""
        check_key(key)
        with _sized(source) as (stream, size, sha256):

            def send() -> Stored:
                stream.seek(0)
                hashing = _Hashing(stream)
                self.client.put_object(
                    self.bucket, key, cast(BinaryIO, hashing), size, metadata={"sha256": sha256}, part_size=PART_BYTES
                )
                found = self.client.stat_object(self.bucket, key)
                if found.size != size:
                    raise urllib3.exceptions.ProtocolError(f"kept {found.size} of {size} bytes")
                return Stored(key, size, hashing.digest.hexdigest())

            stored = self._with_retries(f"{key} was not kept", key, send)
        if stored.sha256 != sha256:
            self.delete(key)  # its metadata promises what it is not
            raise StoreError(f"{source!r} changed while it was sent: try again when nobody writes to it")
        return stored

    def open(self, key: str) -> BinaryIO:
        """See `Store`. A connection that breaks is made anew from the byte it broke at."""
        stream = _Download(self, check_key(key))
        return io.BufferedReader(CheckedStream(cast(BinaryIO, stream), key, stream.size, stream.sha256), CHUNK_BYTES)

    def delete(self, key: str) -> None:
        """See `Store`."""
        check_key(key)
        self._with_retries(f"{key} was not deleted", key, lambda: self.client.remove_object(self.bucket, key))

    def keys(self, prefix: str = "") -> Iterator[Listed]:
        """See `Store`. A listing that breaks goes on after the last key it gave."""
        last = ""
        check_prefix(prefix)
        while True:
            page = self._with_retries("the objects could not be listed", prefix, partial(self._page, prefix, last))
            yield from (item for item in page if is_key(item.key))
            if not page:
                return
            last = page[-1].key

    def _page(self, prefix: str, last: str) -> list[Listed]:
        found = self.client.list_objects(self.bucket, prefix, recursive=True, start_after=last or None)
        page = []
        for item in found:
            if not item.is_dir:
                page.append(Listed(str(item.object_name), item.size or 0, item.last_modified or datetime.now(UTC)))
            if len(page) == self.page_keys:
                break
        return page

    def link(self, key: str, seconds: int, filename: str) -> str | Path:
        """An address signed for the public endpoint; it downloads under the file name and is void after the seconds."""
        plain = "".join(letter if letter.isascii() and letter not in '"%' else "_" for letter in filename)
        named = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"
        return self.public.presigned_get_object(
            self.bucket, key, timedelta(seconds=seconds), response_headers={"response-content-disposition": named}
        )

    def _with_retries(self, what: str, key: str, action: Callable[[], T]) -> T:
        """Do it, again after transient errors; StoreError in plain words for what does not."""
        for wait_s in (*self.waits_s, None):
            try:
                return action()
            except (HTTPError, MinioException) as error:
                if wait_s is None or not _is_transient(error):
                    raise self._failure(what, key, error) from error
                time.sleep(wait_s)
        raise AssertionError("the last try returns or raises")

    def _failure(self, what: str, key: str, error: Exception) -> StoreError:
        code = error.code if isinstance(error, S3Error) else ""
        if code in ("NoSuchKey", "NoSuchObject"):
            return ObjectMissing(f"nothing is kept under {key} in the bucket {self.bucket}")
        if code == "NoSuchBucket":
            mend = "make it, or set UNDERSTUDY_S3_BUCKET to one that exists"
            return StoreError(f"{what}: there is no bucket {self.bucket} at {self.endpoint}; {mend}")
        if code in ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"):
            mend = "look at UNDERSTUDY_S3_ACCESS_KEY, UNDERSTUDY_S3_SECRET_KEY and what that key may do"
            return StoreError(f"{what}: {self.endpoint} refuses our key ({code}); {mend}")
        if code == "RequestTimeTooSkewed":
            mend = "set both right, best by NTP"
            return StoreError(f"{what}: the clock of this machine is not that of {self.endpoint}; {mend}")
        if code in ("XMinioStorageFull", "InsufficientStorage"):
            return StoreError(f"{what}: the disk of {self.endpoint} is full; free space there")
        if isinstance(error, HTTPError):
            mend = "look whether it runs and whether UNDERSTUDY_S3_ENDPOINT_INTERNAL is right"
            return StoreError(f"{what}: {self.endpoint} does not answer ({type(error).__name__}); {mend}")
        if _is_transient(error):
            mend = "look at its log, and whether its disk is full"
            reason = code or type(error).__name__
            return StoreError(f"{what}: {self.endpoint} failed again and again ({reason}); {mend}")
        return StoreError(f"{what}: {self.endpoint} answered {' '.join(str(error).split())[:300]}")


def _client(settings: Settings, endpoint: str) -> Minio:
    secure, _, host = endpoint.partition("://")
    # The client's own retries are off: `_with_retries` is the one place, and knows which errors are transient.
    pool = urllib3.PoolManager(timeout=urllib3.Timeout(connect=CONNECT_S, read=READ_S), retries=False, maxsize=8)
    return Minio(
        host,
        settings.s3_access_key,
        settings.s3_secret_key,
        secure=secure == "https",
        region=settings.s3_region,
        http_client=pool,
    )


def _is_transient(error: Exception) -> bool:
    """Whether trying again can help: the network, a server at its start or with too much to do."""
    if isinstance(error, HTTPError):
        return True
    if isinstance(error, S3Error):
        return error.code in TRANSIENT_CODES or error.response.status >= 500
    if isinstance(error, ServerError):
        return error.status_code >= 500
    return isinstance(error, InvalidResponseError)  # half an answer, or a proxy's page in place of one


@contextmanager
def _sized(source: Source) -> Iterator[tuple[BinaryIO, int, str]]:
    """A source that can be read twice, with its size and SHA-256, which S3 wants to know before the first byte."""
    if isinstance(source, bytes):
        yield io.BytesIO(source), len(source), hashlib.sha256(source).hexdigest()
    elif isinstance(source, Path):
        with source_stream(source) as file:
            digest = hashlib.file_digest(cast(Any, file), "sha256")
            yield file, os.fstat(file.fileno()).st_size, digest.hexdigest()
    else:
        # A stream may be read once only, and may break: nothing is sent before it came to its end.
        with tempfile.TemporaryFile() as spool:
            hashing = _Hashing(source)
            while chunk := hashing.read(CHUNK_BYTES):
                spool.write(chunk)
            yield cast(BinaryIO, spool), spool.tell(), hashing.digest.hexdigest()


class _Hashing:
    """A stream that keeps the SHA-256 of what was read from it."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream, self.digest = stream, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self.stream.read(size)
        self.digest.update(data)
        return data


class _Download:
    """The bytes of one object; goes on from where a connection broke, with the same object or not at all."""

    def __init__(self, store: S3Store, key: str) -> None:
        self.store, self.key = store, key
        self.position, self.etag = 0, ""
        self.response = self._connect()
        self.size = int(self.response.headers.get("Content-Length", "0"))
        self.sha256 = self.response.headers.get(SHA256, "")
        self.etag = self.response.headers.get("ETag", "")

    def _connect(self) -> urllib3.BaseHTTPResponse:
        store = self.store
        same = {"If-Match": self.etag} if self.etag else None

        def ask() -> urllib3.BaseHTTPResponse:
            return store.client.get_object(store.bucket, self.key, self.position, request_headers=cast(Any, same))

        return store._with_retries(f"{self.key} could not be read", self.key, ask)

    def read(self, size: int = -1) -> bytes:
        """The next bytes, at most so many."""
        if self.position >= self.size:
            return b""
        for wait_s in (*self.store.waits_s, None):
            try:
                data = self.response.read(size)
                self.position += len(data)
                return data
            except HTTPError as error:
                self.close()
                if wait_s is None:
                    raise self.store._failure(f"{self.key} could not be read", self.key, error) from error
                time.sleep(wait_s)
                self.response = self._connect()
        raise AssertionError("the last try returns or raises")

    def close(self) -> None:
        """Give the connection back."""
        self.response.close()
        self.response.release_conn()
