"""What the command line does: train agents, check the machine, keep the work copy, execute notebooks."""
