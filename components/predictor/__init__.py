"""The model server: raw rows in, answers out, by KServe's V1 and V2 protocols."""
