"""What edge caches should hold before it is asked for, and the gate that says where that pays."""
