"""Training of one seed: state, step, epoch, evaluation."""
