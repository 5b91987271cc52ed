"""`understudy bench starter`: what the starter can do, against the goals that it was made for."""
