"""What main.py does: settings -> task, model, components -> training or evaluation."""
