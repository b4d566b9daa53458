"""The week behind: trends, bottlenecks, what to do about them, and what will not fit soon."""
