"""What a notebook instance runs; on_start.sh carries the rest there."""
