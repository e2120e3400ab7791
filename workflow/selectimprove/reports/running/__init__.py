"""What happens around a run on this machine: before its first job, while it runs, and at its end."""
