"""What the commands do, imported only when they run."""
