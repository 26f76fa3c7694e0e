"""AWS IoT Greengrass V2 of the embedded AWS: component versions, deployments, and what core devices report."""
