"""One server, or several: two Prefect servers on PostgreSQL and Redis behind a proxy, services apart, workers."""
