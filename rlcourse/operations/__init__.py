"""What the command line does besides teaching: train, check the machine, the work copy, execute notebooks."""
