"""What a federation is, and the parts that its accounts' stacks are made of."""
