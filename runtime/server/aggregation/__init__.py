"""What is done to replies before anybody adds them up: validation, and sums under masks."""
