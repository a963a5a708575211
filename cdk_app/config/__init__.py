"""What a federation is: federation.yaml read, checked and told to the accounts; none of it knows CDK."""
