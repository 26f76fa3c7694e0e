"""What runs in AWS: two functions, their state, and the template that deploys them."""
