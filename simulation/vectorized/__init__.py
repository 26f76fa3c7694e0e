"""Many clients trained at once, with stacked models."""
