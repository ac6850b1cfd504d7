"""This process and its machine: streams, signals, memory, processors."""
