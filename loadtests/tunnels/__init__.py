"""What a tunnel and an event stream cost on their way, and whether a reload touches them."""
