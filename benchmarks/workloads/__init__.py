"""One file a workload: the same work for every tool."""
