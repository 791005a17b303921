"""Many devices: who they are, who may use them, and what runs on them."""
