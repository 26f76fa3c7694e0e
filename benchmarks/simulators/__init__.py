"""What simulates federated training: fedgrass, Flower, and a plain loop; see benchmarks/simulate.py."""
