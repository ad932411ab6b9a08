"""The figures people rely on: `python -m tests.reliability` measures them at full size and prints the table."""
