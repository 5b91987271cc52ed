"""`understudy gc` and `understudy health`: garbage collection of stored objects, and the health check of containers.

understudy gc --dry-run             objects that no record refers to, what becomes of each group, and why
understudy gc                       puts them into the trash, and deletes what has been there for --grace days
understudy health [--queue train]   exit status 0 when the records answer and, with --queue, this host has a worker
"""

from __future__ import annotations

import argparse
import platform

from pipelines.commands.console import CommandFailed, CommandResult, WrongUsage, say
from pipelines.core.settings import Settings

HOUR_S = 3600.0


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], shared: argparse.ArgumentParser) -> None:
    """Put both commands on the command line."""
    gc = commands.add_parser("gc", parents=[shared], help="delete stored objects that no record refers to")
    gc.add_argument("--dry-run", action="store_true", help="only say what would go")
    gc.add_argument("--older-than", type=float, default=24.0, metavar="HOURS", help="leave younger ones (24)")
    gc.add_argument("--grace", type=float, default=7.0, metavar="DAYS", help="how long they stay in the trash (7)")
    gc.add_argument("--even-all", action="store_true", help="also when most or all of the objects would go")
    gc.add_argument("--adopt", action="store_true", help="these records and objects belong together, say so first")
    gc.set_defaults(run=run_gc)
    health = commands.add_parser("health", parents=[shared], help="do the records answer, has this host a worker")
    health.add_argument("--queue", choices=("train", "reply"), help="a worker of this host must take jobs from it")
    health.set_defaults(run=run_health)


def run_gc(arguments: argparse.Namespace) -> CommandResult:
    """Delete, or list, what is old and in no record; the JSON object has number, bytes and keys, and what is left."""
    from pipelines.core.records import open_records
    from pipelines.core.records.store_check import settle_owner
    from pipelines.core.storage.garbage import SAFE_S, collect_garbage
    from pipelines.core.storage.installation import check_owner, claim_store
    from pipelines.core.storage.open_store import open_store

    if arguments.older_than * HOUR_S < SAFE_S:
        raise WrongUsage(f"--older-than must be at least {SAFE_S / HOUR_S:g} hours, or work in progress is lost")
    settings = Settings.from_environment()
    records = open_records(settings.database_url)
    store = open_store(settings)
    if arguments.adopt:
        claim_store(store, records.installation())
    elif not arguments.dry_run:
        settle_owner(records, store)
        check_owner(store, records.installation())
    sweep = collect_garbage(
        store,
        records.keys(),
        arguments.older_than * HOUR_S,
        arguments.dry_run,
        arguments.even_all,
        grace_s=arguments.grace * 24 * HOUR_S,
    )
    gone = sweep.gone
    size = sum(item_bytes for _, item_bytes in gone)
    for key, item_bytes in gone:
        say(f"{item_bytes:>12} {key}")
    say(f"{len(gone)} objects, {size / 1e6:.1f} MB {'would go' if arguments.dry_run else 'deleted'}")
    say("\n".join(sweep.words))
    keys = [key for key, _ in gone]
    told = {"objects": len(gone), "bytes": size, "dry_run": arguments.dry_run, "keys": keys, "trash": sweep.trash}
    return {**told, "refused": sweep.refused}, 0


def run_health(arguments: argparse.Namespace) -> CommandResult:
    """Fail when the records do not answer, or when no worker of this host takes jobs from the queue."""
    from pipelines.core.records import open_records

    settings = Settings.from_environment()
    within_s = settings.worker_alive_s
    host = platform.node()
    here = [worker for worker in open_records(settings.database_url).workers.list(within_s) if worker.host == host]
    if arguments.queue and not any(arguments.queue in worker.queues for worker in here):
        raise CommandFailed(f"no worker for {arguments.queue} was seen on {host} in the last {within_s:g} s")
    say(f"records answer; {len(here)} workers on {host}")
    return {"ok": True, "host": host, "workers": [worker.id for worker in here]}, 0
