"""The job queue: submission of jobs, the broker that notifies workers, and what came of a training."""
