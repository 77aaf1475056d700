"""What is known of a flight before it departs: one module for each place the knowledge comes from."""
