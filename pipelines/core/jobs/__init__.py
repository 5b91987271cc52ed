"""What is queued: the job, the recipe, the memory it needs, the reply protocol."""
