"""The commands of `understudy`, one file each; `pipelines/cli.py` puts them together."""
