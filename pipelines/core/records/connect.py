"""Opening the records: the tables are brought up to date first, once, however many processes start together.

Migrations are Alembic's, in `migrations/versions`; they go forward only (to go back, restore a backup). A database
made by a newer version of this project is refused.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from pipelines.core.command_line import install_as_typed
from pipelines.core.jobs.job import RecordsUnusable
from pipelines.core.records.database import Database
from pipelines.core.records.records import Records


def open_records(url: str) -> Records:
    """The records at a URL such as `sqlite:////var/lib/understudy.db` or `postgresql://user:password@host/understudy`.

    A new database gets its tables, an older one is brought up to date; processes that start at once wait for the one
    that does it. Raises ValueError for a URL that names nothing usable and RecordsUnusable when it cannot be reached.
    """
    try:
        database = Database(url)
    except ModuleNotFoundError as error:
        raise RecordsUnusable(
            f"the package {error.name} is needed for PostgreSQL: {install_as_typed('postgres')}"
        ) from error
    migrate(database)
    return Records(database)


def migrate(database: Database, revision: str = "head") -> None:
    """Bring the tables to a revision, the latest but for tests. RecordsUnusable when a newer version made them."""
    config = Config()
    # The config's own file format reads % as the start of a name.
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    head = scripts.get_current_head()
    with database.read() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    if current == head:
        return
    if current is not None and current not in {script.revision for script in scripts.walk_revisions()}:
        raise RecordsUnusable(
            f"the records at {database.where} were made by a newer version of understudy (revision {current}): "
            "update this one, or restore a backup made with it"
        )
    engine = database.new_engine(foreign_keys=False)
    try:
        with database.plain_errors(), engine.execution_options(write="FULL").begin() as connection:
            database.lock_alone(connection, "migration")
            config.attributes["connection"] = connection
            command.upgrade(config, revision)  # looks again what is there, now that nobody else can change it
    finally:
        engine.dispose()
