"""What reports say of servers."""
