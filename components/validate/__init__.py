"""Statistics, schema and anomalies of a table, by TFDV."""
