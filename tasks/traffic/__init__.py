"""Shares of the requests of user zones among the sites that serve them."""
