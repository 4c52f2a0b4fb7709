"""Three PostgreSQLs under Patroni, of which the primary is lost under load, and what came of it."""
