"""Real servers for the tests: redis-server, PostgreSQL and SeaweedFS (S3), each on free ports and in its own folder.

    redis = RedisServer(folder); redis.start(); redis.url; redis.kill(); redis.start(); redis.stop()

The fixtures in `conftest.py` start one of each for a session. `python -m tests.services` (`make services`) installs
what is missing where it may: as root on Debian and its kin. A server that is absent skips its tests on a laptop and
fails them where the environment says CI.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import psutil
import pytest

from pipelines.core.settings import Settings

START_S = 60.0
"""Most seconds until a server answers; a busy machine of two cores needs a tenth of it."""
STARTS = 3
"""Tries: another program may take a free port before the server does."""
ACCESS_KEY, SECRET_KEY = "understudy-tests", "only-for-tests"
LEAST_BUCKET, LEAST_ACCESS_KEY = "least", "understudy-least"
"""A key with the same secret that may use this one bucket and nothing else, as in production."""


class ServiceFailed(RuntimeError):
    """A server that is there but does not start; the text ends with its log."""


class Server:
    """One server process: started, stopped as its makers mean it, or killed, and started again on the same data."""

    stop_signal = signal.SIGTERM
    user: str | None = None
    """Who runs it, where that is not us."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_ports(1)[0]
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """The command line in the foreground."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Whether it does its work; may raise OSError while it does not."""
        raise NotImplementedError

    def start(self) -> None:
        """Start and wait until it answers; ServiceFailed shows the end of its log."""
        for _ in range(STARTS):
            with (self.folder / "log.txt").open("ab") as log:
                self.process = subprocess.Popen(
                    self.command(),
                    cwd=self.folder,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    user=self.user,
                    stdin=subprocess.DEVNULL,
                )
            until = time.monotonic() + START_S
            while self.process.poll() is None and time.monotonic() < until:
                with suppress(OSError):
                    if self.answers():
                        return
                time.sleep(0.05)
            self.kill()
        log_text = (self.folder / "log.txt").read_text(encoding="utf-8", errors="replace")
        raise ServiceFailed(f"{self.command()[0]} does not start:\n{log_text[-2000:]}")

    def kill(self) -> None:
        """SIGKILL, as the kernel does when memory is short; the data stays."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """An orderly end; killed after 10 s."""
        self._end(self.stop_signal)

    def _end(self, signal_number: int) -> None:
        if self.process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal_number)
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(timeout=10)
        self.process = None


S = TypeVar("S", bound=Server)


class RedisServer(Server):
    """redis-server as in production: append-only file, nothing evicted."""

    def command(self) -> list[str]:
        place = ["--port", str(self.port), "--dir", str(self.folder), "--bind", "127.0.0.1", "--save", ""]
        options = "--appendonly yes --maxmemory-policy noeviction --loglevel warning"
        return [program("redis-server"), *place, *options.split()]

    def answers(self) -> bool:
        with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")  # "-LOADING" while it reads its file

    @property
    def url(self) -> str:
        """Address of its first database."""
        return f"redis://127.0.0.1:{self.port}/0"

    def empty(self) -> None:
        """Forget everything."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(b"FLUSHALL\r\n")
            assert connection.recv(16).startswith(b"+OK")


class PostgresServer(Server):
    """PostgreSQL on a cluster made for it; it refuses to run as root, so root hands it to another user."""

    stop_signal = signal.SIGINT  # ends open connections; SIGTERM would wait for them

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        if os.geteuid() == 0:
            self.user = "postgres" if _user_exists("postgres") else "nobody"
            shutil.chown(folder, self.user)
        words = ["-D", str(folder / "data"), "-U", "understudy", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        made = subprocess.run(
            [program("initdb"), *words], cwd=folder, user=self.user, capture_output=True, text=True, check=False
        )
        if made.returncode:
            raise ServiceFailed(f"initdb failed:\n{made.stderr[-2000:]}")

    def command(self) -> list[str]:
        # Without fsync a power cut loses data, a killed process does not: what the tests do.
        settings = ("fsync=off", "unix_socket_directories=", "listen_addresses=127.0.0.1", f"port={self.port}")
        options = [word for setting in settings for word in ("-c", setting)]
        return [program("postgres"), "-D", str(self.folder / "data"), *options]

    def kill(self) -> None:
        """SIGKILL to the postmaster and its children; each is in a session of its own, and holds the shared memory."""
        children: list[psutil.Process] = []
        with suppress(psutil.NoSuchProcess):
            if self.process is not None:
                psutil.Process(self.process.pid).suspend()  # so that it starts no more
                children = psutil.Process(self.process.pid).children(recursive=True)
            for child in children:
                child.kill()
        super().kill()
        while any(map(is_alive, children)):
            time.sleep(0.01)

    def answers(self) -> bool:
        import psycopg

        with suppress(psycopg.OperationalError), psycopg.connect(self._dsn("postgres"), connect_timeout=2):
            return True
        return False

    def _dsn(self, database: str) -> str:
        return f"postgresql://understudy@127.0.0.1:{self.port}/{database}"

    @contextmanager
    def database(self, name: str) -> Iterator[str]:
        """A new empty database; gives its address for SQLAlchemy and drops it afterwards, connections and all."""
        import psycopg

        with psycopg.connect(self._dsn("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        yield self._dsn(name).replace("postgresql:", "postgresql+psycopg:")
        with psycopg.connect(self._dsn("postgres"), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


class S3Server(Server):
    """SeaweedFS with its S3 gateway: master, volume and filer in one process, a key that may do everything."""

    stop_signal = signal.SIGKILL  # its orderly end takes ten seconds, and nobody wants the data

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        names = ("master", "volume", "filer", "s3")
        ports = free_ports(2 * len(names))
        self.ports = {name: (ports[2 * i], ports[2 * i + 1]) for i, name in enumerate(names)}
        self.port = self.ports["s3"][0]
        everything = {
            "name": "tests",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "List", "Tagging", "Write"],
        }
        least = {
            "name": "least",
            "credentials": [{"accessKey": LEAST_ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": [f"{action}:{LEAST_BUCKET}" for action in ("Read", "Write", "List")],
        }
        (folder / "s3.json").write_text(json.dumps({"identities": [everything, least]}), encoding="utf-8")
        (folder / "data").mkdir()

    def command(self) -> list[str]:
        ports = [
            word
            for name, (http, grpc) in self.ports.items()
            for word in (f"-{name}.port={http}", f"-{name}.port.grpc={grpc}")
        ]
        return [
            program("weed"),
            "server",
            f"-dir={self.folder / 'data'}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            *ports,
            "-s3",
            f"-s3.config={self.folder / 's3.json'}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-master.telemetry=false",
            "-master.volumeSizeLimitMB=64",
            "-volume.max=200",
            "-volume.preStopSeconds=0",
            "-master.electionTimeout=500ms",
            "-master.heartbeatInterval=100ms",
            "-master.resumeState=false",
        ]

    def answers(self) -> bool:
        # A bucket can be made before a file can be kept, so keep one.
        from minio.error import MinioException
        from urllib3.exceptions import HTTPError

        settings = self.settings(self.folder, "ready")
        try:
            self.make_bucket(settings)
            _client(settings).put_object("ready", "file", _bytes(b"ready"), 5)
        except (MinioException, HTTPError):
            return False
        return True

    @property
    def endpoint(self) -> str:
        """Address of the S3 gateway."""
        return f"http://127.0.0.1:{self.port}"

    def settings(self, home: Path, bucket: str) -> Settings:
        """Settings that keep objects here. The public endpoint has another name, as it has in production."""
        return Settings(
            home=home,
            objects="s3",
            s3_endpoint_internal=self.endpoint,
            s3_bucket=bucket,
            s3_access_key=ACCESS_KEY,
            s3_secret_key=SECRET_KEY,
            s3_endpoint_public=f"http://localhost:{self.port}",
        )

    def make_bucket(self, settings: Settings) -> None:
        """Make the bucket of these settings unless it is there."""
        client = _client(settings)
        if not client.bucket_exists(settings.s3_bucket):
            client.make_bucket(settings.s3_bucket)

    def remove_bucket(self, settings: Settings) -> None:
        """Remove the bucket with all that is in it."""
        client = _client(settings)
        for item in client.list_objects(settings.s3_bucket, recursive=True):
            client.remove_object(settings.s3_bucket, str(item.object_name))
        client.remove_bucket(settings.s3_bucket)


def _client(settings: Settings) -> Any:
    import urllib3
    from minio import Minio

    pool = urllib3.PoolManager(timeout=urllib3.Timeout(5.0), retries=False)
    host = settings.s3_endpoint_internal.removeprefix("http://")
    return Minio(
        host, settings.s3_access_key, settings.s3_secret_key, secure=False, region=settings.s3_region, http_client=pool
    )


def _bytes(data: bytes) -> Any:
    import io

    return io.BytesIO(data)


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs; one that ended and that nobody has waited for does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _user_exists(name: str) -> bool:
    import pwd

    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on at this moment, all different."""
    sockets = [socket.socket() for _ in range(count)]
    for item in sockets:
        item.bind(("127.0.0.1", 0))
    ports = [item.getsockname()[1] for item in sockets]
    for item in sockets:
        item.close()
    return ports


def find_program(name: str) -> str:
    """Path of a server's program, "" when it is not installed."""
    beside_python = Path(sys.executable).parent  # a wheel's program, without the environment being activated
    places = [beside_python, *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    found = shutil.which(name) or next((str(place / name) for place in places if (place / name).is_file()), "")
    return found


def program(name: str) -> str:
    """Path of a server's program; where it is missing the test ends, skipped or, under CI, failed."""
    found = find_program(name)
    if not found:
        absent(f"{name} is not installed: make services")
    return found


def absent(reason: str) -> NoReturn:
    """End a test that needs what is not there: a failure where the environment says CI, else a skip."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@contextmanager
def running(kind: type[S]) -> Iterator[S]:
    """A server in a new folder, stopped and removed afterwards. The folder is outside of pytest's, which other users
    may not enter."""
    folder = Path(tempfile.mkdtemp(prefix="understudy-service-"))
    folder.chmod(0o755)
    try:
        server = kind(folder)
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


PACKAGES = {"redis-server": "redis-server", "postgres": "postgresql", "chromium": "chromium"}
"""Program -> Debian package; Chromium is the browser of tests/e2e. SeaweedFS comes with the extra `dev`, as a wheel."""


def ensure_installed() -> list[str]:
    """Install the servers that are missing, where that is allowed; returns what is still missing afterwards."""
    packages = [package for name, package in PACKAGES.items() if not find_program(name)]
    if packages and os.geteuid() == 0 and shutil.which("apt-get"):
        # RUNLEVEL=1: do not start what is installed; the tests start their own.
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *packages]
        for command in (install, ["apt-get", "update", "--quiet"], install):
            done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False)
            if command is install and done.returncode == 0:
                break
    return [name for name in (*PACKAGES, "weed") if not find_program(name)]


if __name__ == "__main__":
    missing = ensure_installed()
    for missing_name in missing:
        wanted = PACKAGES.get(missing_name)
        how = f"apt-get install {wanted} (or your system's way)" if wanted else "pip install '.[dev]'"
        print(f"{missing_name} is missing, so its tests are left out here: {how}")
    sys.exit(1 if missing and os.environ.get("CI") else 0)
