"""What is written from a set of records: tables for people, JSON for machines; reached through the catalog."""
