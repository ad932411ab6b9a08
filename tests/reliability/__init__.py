"""What people rely on, in figures: `python -m tests.reliability` measures them at full size."""
