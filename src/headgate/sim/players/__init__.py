"""Parts the simulated model can play: questions it answers as a competent model would, and now and then wrongly."""
