"""Fleet monitoring: what the fleet's sources say, what is wrong by rules, how healthy it is, and who is told."""
