"""What `trials.fuzz_inspection` and `benchmarks.inspection` feed to the inspection, and who judges the answers."""
