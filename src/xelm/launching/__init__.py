"""Many experts: tasks, the local workers that run them, the live view, the plan before the run."""
