"""What is wrong with the template beyond its syntax: checkov looks at its resources, parliament at its policies."""
