"""The truth about sweeps: tables, migrations, and the one place of SQL (repository)."""
