"""Alembic's folder: `env.py` runs the migrations in `versions/`, called by `records/opening.py`."""
