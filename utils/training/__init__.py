"""One seed: its state, its step, its epoch, its evaluation."""
