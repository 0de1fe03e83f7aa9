"""Claims of several runs: values, differences with their intervals, profiles."""
