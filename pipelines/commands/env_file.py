"""`understudy init-env`: a fresh `.env` for docker-compose.yml, with random secrets.

understudy init-env --out .env      a new file, readable by its owner only; an existing file is never replaced
understudy init-env                 on standard output
understudy init-env --example       without secrets: the text of `.env.example`
"""

from __future__ import annotations

import argparse
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path

from pipelines.commands.console import CommandFailed, CommandResult, WrongUsage, say

EXAMPLE = """\
# What docker-compose.yml reads. Do not fill this in by hand: `understudy init-env --out .env` makes a .env with fresh
# random secrets in place of the empty ones below. Keep that file to yourself, and keep a copy of it with the backups.

# --- secrets: made at random, no defaults ---
POSTGRES_PASSWORD=
REDIS_PASSWORD=
MINIO_ROOT_USER=
MINIO_ROOT_PASSWORD=
UNDERSTUDY_S3_ACCESS_KEY=
UNDERSTUDY_S3_SECRET_KEY=

# --- where the parts find each other; on a second GPU host, the first host's address in place of the names ---
UNDERSTUDY_DATABASE_URL=postgresql://understudy:${POSTGRES_PASSWORD}@postgres:5432/understudy
UNDERSTUDY_BROKER_URL=redis://:${REDIS_PASSWORD}@redis:6379/0
UNDERSTUDY_S3_ENDPOINT_INTERNAL=http://minio:9000

# --- what others see ---
# The address under which a browser reaches the objects; download links are signed for it, so it must be exact.
UNDERSTUDY_S3_ENDPOINT_PUBLIC=http://localhost:9000
# Address and port to publish the studio and the objects on; 127.0.0.1 is this host alone, for a proxy in front.
STUDIO_PUBLISH=127.0.0.1:8501
OBJECTS_PUBLISH=127.0.0.1:9000
# Where other GPU hosts reach Redis and PostgreSQL: an address of a private network only, never a public one.
INSIDE_ADDRESS=127.0.0.1

# --- GPUs, by their number in nvidia-smi; one may do both ---
TRAIN_GPU=0
REPLY_GPU=0
# Most memory of each of the two; more than the host has is no limit.
TRAIN_MEMORY=32g
REPLY_MEMORY=32g
# Without a GPU, take the # away:
# COMPOSE_FILE=docker-compose.yml:docker-compose.cpu.yml

# --- settings, explained in docs/operations.md; empty means the default ---
UNDERSTUDY_OWNER=local
UNDERSTUDY_S3_BUCKET=understudy
UNDERSTUDY_S3_REGION=us-east-1
UNDERSTUDY_LEASE_S=60
UNDERSTUDY_HEARTBEAT_S=10
UNDERSTUDY_HANG_TIMEOUT_S=900
UNDERSTUDY_STOP_GRACE_S=120
UNDERSTUDY_LLM_URL=
UNDERSTUDY_LLM_MODEL=
UNDERSTUDY_LLM_KEY=
UNDERSTUDY_LLM_TIMEOUT_S=60
UNDERSTUDY_REVISIONS=
"""
"""The file without secrets; `.env.example` is this text."""

SECRETS: dict[str, Callable[[], str]] = {
    "POSTGRES_PASSWORD": lambda: secrets.token_hex(24),
    "REDIS_PASSWORD": lambda: secrets.token_hex(24),
    "MINIO_ROOT_USER": lambda: f"root-{secrets.token_hex(4)}",
    "MINIO_ROOT_PASSWORD": lambda: secrets.token_hex(24),
    # As long as those of S3 itself, since some servers refuse others: at most 20 and 40 characters.
    "UNDERSTUDY_S3_ACCESS_KEY": lambda: secrets.token_hex(8),
    "UNDERSTUDY_S3_SECRET_KEY": lambda: secrets.token_hex(20),
}
"""Variable -> how its secret is made; hexadecimal, so that it may stand in an address as it is."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], shared: argparse.ArgumentParser) -> None:
    """Put the command on the command line."""
    command = commands.add_parser(
        "init-env", parents=[shared], help="make a .env with fresh secrets for docker compose"
    )
    command.add_argument("--out", type=Path, metavar="FILE", help="write it there, readable by its owner alone")
    command.add_argument("--example", action="store_true", help="leave the secrets empty")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> CommandResult:
    """Write or print the file. The JSON object names the secrets and never shows them."""
    if arguments.json and arguments.out is None:
        raise WrongUsage("--json needs --out FILE: secrets do not belong into what scripts log")
    text = EXAMPLE if arguments.example else environment_text()
    answer = {"file": str(arguments.out) if arguments.out else None, "secrets": list(SECRETS)}
    if arguments.out is None:
        print(text, end="")
        return answer, 0
    try:
        handle = os.open(arguments.out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise CommandFailed(
            f"{arguments.out} is there already, and its secrets are in use: move it away if you mean to make new ones"
        ) from error
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    say(f"{arguments.out}: keep it to yourself, and a copy with the backups")
    return answer, 0


def environment_text() -> str:
    """The file with a new secret for each variable that needs one."""
    text = EXAMPLE
    for name, make in SECRETS.items():
        text = re.sub(rf"^{name}=$", f"{name}={make()}", text, flags=re.MULTILINE)
    return text
