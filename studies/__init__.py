"""Published numbers reproduced, and ways of training compared: each a script with its command and its results."""
