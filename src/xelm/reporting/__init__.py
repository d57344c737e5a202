"""What a run found, for people to read: terminal table, report.html, pictures, model cards."""
