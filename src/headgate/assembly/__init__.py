"""The composition root: settings become running parts here, and nowhere else."""
