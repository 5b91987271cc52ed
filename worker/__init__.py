"""The GPU program: takes the id of a job, runs one pipeline on it, and records how it ended."""
