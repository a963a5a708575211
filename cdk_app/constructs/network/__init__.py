"""Networks: private subnets, endpoints and their policies, peering."""
