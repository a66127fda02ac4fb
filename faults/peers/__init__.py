"""Other people's producers under the same workload, for comparison."""
