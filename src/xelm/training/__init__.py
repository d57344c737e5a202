"""One expert's training: job, order of windows, step, checkpoints, ledger."""
